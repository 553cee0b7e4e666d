//! What of a near store is worth a copy: what lies in many packs, little of it in each.

use std::collections::HashMap;

use crate::digest::PackId;
use crate::format::hot::{HotBlock, HotFrame};

/// Packs of which little is read cost a request each, next door too: of more than so many what is read is copied.
const PACKS_MAX: usize = 4;
/// What is little, in stored bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// Takes out the frames of packs of which little is read, if there are many; their blocks.
pub(super) fn take(frames: &mut Vec<HotFrame>) -> Vec<HotBlock> {
    let mut packs: HashMap<Option<PackId>, u64> = HashMap::new();
    for frame in &*frames {
        *packs.entry(frame.pack).or_default() += u64::from(frame.slot.stored_bytes);
    }
    packs.retain(|_, bytes| *bytes <= BYTES_MAX);
    if packs.len() <= PACKS_MAX {
        return Vec::new();
    }
    let loose = frames.extract_if(.., |frame| packs.contains_key(&frame.pack));
    let blocks = loose.flat_map(|frame| frame.blocks);
    blocks.map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::BlockId;
    use crate::format::frame::FrameSlot;

    /// A frame of one block, in a pack of its own.
    fn frame(number: usize, stored_bytes: u64) -> HotFrame {
        let block = number as u64;
        let id = BlockId::of(b"x");
        HotFrame {
            pack: Some(PackId::of(&[number as u8])),
            slot: FrameSlot {
                offset: 0,
                stored_bytes: stored_bytes as u32,
                holds: 1,
            },
            idle: 0,
            blocks: vec![(0, HotBlock { block, id })],
        }
    }

    #[test]
    fn many_packs_with_little_each_are_left_by_what_is_read_of_them() {
        let large = frame(99, BYTES_MAX + 1);
        let few = (0..PACKS_MAX).map(|number| frame(number, BYTES_MAX));
        let mut frames: Vec<HotFrame> = few.chain([large.clone()]).collect();
        let before = frames.clone();
        assert!(take(&mut frames).is_empty());
        assert_eq!(frames, before, "few are no trouble");
        frames.push(frame(PACKS_MAX, 1));
        let taken = take(&mut frames);
        let taken: Vec<usize> = taken.iter().map(|one| one.block as usize).collect();
        assert_eq!(taken, (0..=PACKS_MAX).collect::<Vec<_>>());
        assert_eq!(frames, [large]);
    }
}
