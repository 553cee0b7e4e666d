//! What of a near store is worth a copy: what lies in many packs, little of it in each, and what lies alone in frames
//! that are read for it.

use std::collections::{HashMap, HashSet};

use crate::digest::PackId;
use crate::format::hot::{HotBlock, HotFrame};

/// Packs of which little is read cost a request each, next door too: of more than so many what is read is copied.
const PACKS_MAX: usize = 4;
/// What of a pack is little, in stored bytes.
const PACK_BYTES_MAX: u64 = 64 * 1024;
/// A frame is sparse if at most one in so many of its blocks is read.
const SPARSE: usize = 2;
/// Frames of so many stored bytes in all may be read for little of them.
const BYTES_MAX: u64 = 128 * 1024;
/// More blocks (16 MiB) are not copied: that would cost a save more than the next job's reads.
const BLOCKS_MAX: usize = 256;

/// Takes out the frames of which little is read, and those that are most of what is read of a pack, unless all these
/// are a few or very many; their blocks.
pub(super) fn take(frames: &mut Vec<HotFrame>) -> Vec<HotBlock> {
    let (sparse, dense): (Vec<&HotFrame>, Vec<_>) = frames.iter().partition(|it| is_sparse(it));
    let mut read: HashMap<Option<PackId>, u64> = HashMap::new();
    for frame in dense {
        *read.entry(frame.pack).or_default() += stored_bytes(frame);
    }
    read.retain(|_, bytes| *bytes <= PACK_BYTES_MAX);
    let is_loose = |frame: &HotFrame| is_sparse(frame) || read.contains_key(&frame.pack);
    let loose = || frames.iter().filter(|frame| is_loose(frame));
    let packs: HashSet<_> = loose().map(|frame| frame.pack).collect();
    let for_little: u64 = sparse.into_iter().map(stored_bytes).sum();
    let are_few = packs.len() <= PACKS_MAX && for_little <= BYTES_MAX;
    let blocks: usize = loose().map(|frame| frame.blocks.len()).sum();
    if are_few || blocks > BLOCKS_MAX {
        return Vec::new();
    }
    let taken = frames.extract_if(.., |frame| is_loose(frame));
    let blocks = taken.flat_map(|frame| frame.blocks);
    blocks.map(|(_, one)| one).collect()
}

fn is_sparse(frame: &HotFrame) -> bool {
    frame.places(|_| true) * SPARSE <= usize::from(frame.slot.holds)
}

fn stored_bytes(frame: &HotFrame) -> u64 {
    u64::from(frame.slot.stored_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::BlockId;
    use crate::format::frame::FrameSlot;

    /// A frame in a pack of its own, of which one block is read.
    fn frame(number: usize, stored_bytes: u64, holds: u8) -> HotFrame {
        let block = number as u64;
        let id = BlockId::of(b"x");
        HotFrame {
            pack: Some(PackId::of(&[number as u8])),
            slot: FrameSlot {
                offset: 0,
                stored_bytes: stored_bytes as u32,
                holds,
            },
            idle: 0,
            blocks: vec![(0, HotBlock { block, id })],
        }
    }

    fn taken(frames: &mut Vec<HotFrame>) -> Vec<usize> {
        let taken = take(frames);
        taken.iter().map(|one| one.block as usize).collect()
    }

    #[test]
    fn many_packs_with_little_each_are_left_by_what_is_read_of_them() {
        let large = frame(99, PACK_BYTES_MAX + 1, 1);
        let few = (0..PACKS_MAX).map(|number| frame(number, PACK_BYTES_MAX, 1));
        let mut frames: Vec<HotFrame> = few.chain([large.clone()]).collect();
        let before = frames.clone();
        assert!(take(&mut frames).is_empty());
        assert_eq!(frames, before, "few are no trouble");
        frames.push(frame(PACKS_MAX, 1, 1));
        let all: Vec<usize> = (0..=PACKS_MAX).collect();
        assert_eq!(taken(&mut frames), all);
        assert_eq!(frames, [large]);
    }

    #[test]
    fn frames_that_are_read_for_one_block_are_left_by_it_once_they_are_large() {
        let half = BYTES_MAX / 2;
        let dense = frame(9, PACK_BYTES_MAX + 1, SPARSE as u8 - 1);
        let mut frames = vec![dense.clone(), frame(1, half, 16), frame(2, half, 16)];
        assert!(take(&mut frames).is_empty());
        frames.push(frame(3, 1, SPARSE as u8));
        assert_eq!(taken(&mut frames), [1, 2, 3]);
        assert_eq!(frames, [dense]);
        let many = (0..=BLOCKS_MAX).map(|number| frame(number, half, 16));
        assert!(take(&mut many.collect()).is_empty(), "that is dear");
    }
}
