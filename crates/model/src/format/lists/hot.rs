//! Hot lists: what a job read, so that the next one can fetch it before it asks.
//!
//! # Data format
//!
//! ```text
//! "LARDERHL"  version u16 = 2  0 u16                                 12 bytes
//! packs u32  frames u32                                               8 bytes
//! per pack:   digest [32]
//! per frame, in the order of first reading:
//!     pack u32 (0xffffffff: the list itself)  offset u32  stored bytes u32  idle u8  holds u8
//!     good u16:  bit i is set when the volume still has what slot i of the frame holds
//!                (a frame with a slot that several blocks of the volume hold comes again at once)
//!     per good block:  number, as the difference to the one before it in the list (the first: to 0),
//!                 zigzag, as LEB128;  digest [32]
//! the frames that the list itself holds, back to back; their offsets count from here
//! ```
//!
//! Stored at `hot/<id>`, where the id is the BLAKE3 digest of the bytes. *idle* counts the jobs that
//! went by since most of the frame was read; 255 stands for a frame that the save itself wrote, and that is no
//! copy.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::digest::{BlockId, HotListId, PackId};
use crate::format::frame::FrameSlot;
use crate::format::limits::{HOT_LIST_MAX_BLOCKS, HOT_LIST_MAX_BYTES};
use crate::format::wire::{FormatError, Reader, write_header, write_varint};

const MAGIC: [u8; 8] = *b"LARDERHL";
const VERSION: u16 = 2;
const OBJECT: &str = "hot list";
/// Stands for the list itself where a pack is named.
const HERE: u32 = u32::MAX;

/// In place of the number of idle jobs: the last job wrote this, and nobody has read it yet.
pub const WRITTEN: u8 = u8::MAX;

/// A block with what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HotBlock {
    /// Its place in the volume.
    pub block: u64,
    /// The digest of its content.
    pub id: BlockId,
}

/// Blocks that are stored together because jobs read them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotFrame {
    /// The pack that holds it; none if the list itself does.
    pub pack: Option<PackId>,
    /// Its place there.
    pub slot: FrameSlot,
    /// Jobs in a row that read less than two thirds of it, or [`WRITTEN`].
    pub idle: u8,
    /// The blocks that it holds, with their places in it, ascending: those that the volume still has. Blocks of
    /// equal content share a place.
    pub blocks: Vec<(u8, HotBlock)>,
}

/// A range of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRange {
    /// The pack.
    pub pack: PackId,
    /// Its first byte there.
    pub start: u64,
    /// The one after its last.
    pub end: u64,
}

/// What a job read, and where that is stored together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HotList {
    /// Frames in the order of first reading.
    pub frames: Vec<HotFrame>,
    /// The bytes of those that the list itself holds.
    pub held: Vec<u8>,
}

impl HotFrame {
    /// The bytes of its pack, or of what the list holds, that are the frame.
    pub fn range(&self) -> Range<u64> {
        let start = u64::from(self.slot.offset);
        start..start + u64::from(self.slot.stored_bytes)
    }

    /// How many of its places have a block that is such.
    pub fn places(&self, is: impl Fn(u64) -> bool) -> usize {
        let places = self.blocks.chunk_by(|(one, _), (next, _)| one == next);
        places
            .filter(|same| same.iter().any(|(_, one)| is(one.block)))
            .count()
    }

    /// Puts its blocks in order after some were added.
    pub fn sort(&mut self) {
        self.blocks.sort_by_key(|(place, _)| *place);
    }

    /// Its blocks in turns that have each place once at most.
    fn turns(&self) -> Vec<Vec<(u8, HotBlock)>> {
        let mut turns: Vec<Vec<(u8, HotBlock)>> = Vec::new();
        for same in self.blocks.chunk_by(|(one, _), (next, _)| one == next) {
            turns.resize_with(turns.len().max(same.len()), Vec::new);
            for (turn, block) in turns.iter_mut().zip(same) {
                turn.push(*block);
            }
        }
        turns
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.pack, self.slot, self.idle) == (other.pack, other.slot, other.idle)
    }
}

impl HotList {
    /// The bytes of the list, and its id.
    pub fn encode(&self) -> (HotListId, Vec<u8>) {
        let mut packs: Vec<PackId> = Vec::new();
        let mut numbers = HashMap::new();
        for pack in self.frames.iter().filter_map(|frame| frame.pack) {
            numbers.entry(pack).or_insert_with(|| {
                packs.push(pack);
                packs.len() as u32 - 1
            });
        }
        let turns: Vec<_> = self
            .frames
            .iter()
            .flat_map(|frame| frame.turns().into_iter().map(move |turn| (frame, turn)))
            .collect();
        let mut out = Vec::new();
        write_header(&mut out, MAGIC, VERSION);
        for count in [packs.len(), turns.len()] {
            out.extend_from_slice(&(count as u32).to_le_bytes());
        }
        for pack in &packs {
            out.extend_from_slice(pack.as_bytes());
        }
        let mut last = 0_i64;
        for (frame, blocks) in turns {
            let pack = frame.pack.map_or(HERE, |pack| numbers[&pack]);
            for number in [pack, frame.slot.offset, frame.slot.stored_bytes] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&[frame.idle, frame.slot.holds]);
            let good = blocks.iter().map(|(slot, _)| 1_u16 << slot);
            out.extend_from_slice(&good.sum::<u16>().to_le_bytes());
            for (_, HotBlock { block, id }) in blocks {
                let block = i64::try_from(block).expect("a volume has fewer than 2^63 blocks");
                let step = block - last;
                write_varint(&mut out, (step << 1 ^ step >> 63).cast_unsigned());
                out.extend_from_slice(id.as_bytes());
                last = block;
            }
        }
        out.extend_from_slice(&self.held);
        (HotListId::of(&out), out)
    }

    /// Reads the hot list of a volume of `volume_blocks` blocks.
    pub fn decode(bytes: &[u8], volume_blocks: u64) -> Result<Self, FormatError> {
        let mut from = Reader::open(OBJECT, bytes, HOT_LIST_MAX_BYTES, MAGIC, VERSION)?;
        let (packs, frames) = (from.u32("pack count")?, from.u32("frame count")?);
        let mut named = Vec::new();
        for _ in 0..packs {
            named.push(PackId::from_bytes(from.digest("pack digest")?));
        }
        let mut list = Self::default();
        let mut blocks = Blocks {
            volume: volume_blocks,
            last: 0,
            count: 0,
        };
        for _ in 0..frames {
            let frame = read_frame(&mut from, &named, &mut blocks)?;
            match list
                .frames
                .last_mut()
                .filter(|before| before.is_same(&frame))
            {
                Some(before) => before.blocks.extend(frame.blocks),
                // One without blocks is as good as none.
                None if frame.blocks.is_empty() => {}
                None => list.frames.push(frame),
            }
        }
        list.frames.iter_mut().for_each(HotFrame::sort);
        list.held = from.rest().to_vec();
        let held = list.held.len() as u64;
        let here = list.frames.iter().filter(|frame| frame.pack.is_none());
        match here.map(|frame| frame.range().end).max() {
            Some(end) if end > held => {
                let what = format!("a frame ends at {end}, the list holds {held} bytes");
                Err(FormatError::invalid(OBJECT, what))
            }
            _ => Ok(list),
        }
    }
}

/// The blocks that were read so far.
struct Blocks {
    volume: u64,
    last: i64,
    count: usize,
}

impl Blocks {
    fn read(&mut self, from: &mut Reader<'_>) -> Result<HotBlock, FormatError> {
        let zigzag = from.varint("step")?;
        let step = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        self.last = self.last.wrapping_add(step);
        self.count += 1;
        if self.count > HOT_LIST_MAX_BLOCKS {
            return Err(from.invalid(format!("more than {HOT_LIST_MAX_BLOCKS} blocks")));
        }
        match u64::try_from(self.last) {
            Ok(block) if block < self.volume => Ok(HotBlock {
                block,
                id: BlockId::from_bytes(from.digest("block digest")?),
            }),
            _ => Err(from.invalid(format!("block {} is out of the volume", self.last))),
        }
    }
}

fn read_frame(
    from: &mut Reader<'_>,
    packs: &[PackId],
    blocks: &mut Blocks,
) -> Result<HotFrame, FormatError> {
    let pack = match from.u32("frame pack")? {
        HERE => None,
        number => match packs.get(number as usize) {
            Some(pack) => Some(*pack),
            None => return Err(from.invalid(format!("pack {number}, which is not listed"))),
        },
    };
    let (offset, stored_bytes) = (from.u32("frame offset")?, from.u32("frame length")?);
    let (idle, holds) = (from.u8("idle jobs")?, from.u8("frame blocks")?);
    let good = from.u16("good blocks")?;
    let mut frame = HotFrame {
        pack,
        slot: FrameSlot {
            offset,
            stored_bytes,
            holds,
        },
        idle,
        blocks: Vec::new(),
    };
    if let Some(fault) = frame.slot.fault() {
        return Err(from.invalid(fault));
    }
    if good
        .checked_shr(holds.into())
        .is_some_and(|beyond| beyond > 0)
    {
        return Err(from.invalid(format!("a block beyond the {holds} of its frame")));
    }
    for slot in (0..holds).filter(|slot| good & 1 << slot != 0) {
        frame.blocks.push((slot, blocks.read(from)?));
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(pack: Option<u8>, offset: u32, blocks: &[u64]) -> HotFrame {
        let block = |block: &u64| HotBlock {
            block: *block,
            id: BlockId::of(&block.to_le_bytes()),
        };
        HotFrame {
            pack: pack.map(|pack| PackId::of(&[pack])),
            slot: FrameSlot {
                offset,
                stored_bytes: 4,
                holds: blocks.len() as u8,
            },
            idle: pack.unwrap_or(0),
            blocks: (0..).zip(blocks.iter().map(block)).collect(),
        }
    }

    fn example() -> HotList {
        HotList {
            frames: vec![frame(None, 0, &[0, 1_000_000]), frame(Some(1), 12, &[7])],
            held: b"four".to_vec(),
        }
    }

    #[test]
    fn golden_bytes() {
        let (_, bytes) = example().encode();
        assert_eq!(
            bytes[..20],
            *b"LARDERHL\x02\0\0\0\x01\0\0\0\x02\0\0\0",
            "the format changed: give it a new version"
        );
        let first = b"\xff\xff\xff\xff\0\0\0\0\x04\0\0\0\0\x02\x03\0\0";
        assert_eq!(bytes[52..69], *first);
        assert_eq!(bytes[101..104], [0x80, 0x89, 0x7a]);
        assert_eq!(bytes.len(), 20 + 32 + 2 * 16 + (1 + 3 + 3) + 3 * 32 + 4);
        assert_eq!(HotList::decode(&bytes, 1 << 20), Ok(example()));
    }

    #[test]
    fn blocks_of_equal_content_share_a_place() {
        let (_, before) = example().encode();
        let mut list = example();
        for block in [9, 500] {
            let (_, HotBlock { id, .. }) = list.frames[0].blocks[0];
            list.frames[0].blocks.push((0, HotBlock { block, id }));
        }
        list.frames[0].sort();
        let blocks: Vec<_> = list.frames[0]
            .blocks
            .iter()
            .map(|(at, one)| (*at, one.block))
            .collect();
        assert_eq!(blocks, [(0, 0), (0, 9), (0, 500), (1, 1_000_000)]);
        assert_eq!(list.frames[0].places(|block| block > 400), 2);
        let (_, bytes) = list.encode();
        assert_eq!(
            bytes[16..20],
            [4, 0, 0, 0],
            "the frame stands there three times"
        );
        assert_eq!(bytes.len(), before.len() + 2 * (16 + 32) + (3 + 2) + 2 - 3);
        assert_eq!(HotList::decode(&bytes, 1 << 20), Ok(list));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let (_, bytes) = example().encode();
        assert!(HotList::decode(&bytes, 1_000_000).is_err(), "a block");
        assert!(
            HotList::decode(&bytes[..bytes.len() - 1], 1 << 20).is_err(),
            "a frame that the list does not hold"
        );
        let mut other = bytes;
        let second = 52 + 16 + 4 + 2 * 32;
        other[second] = 1;
        assert!(HotList::decode(&other, 1 << 20).is_err(), "a pack");
    }

    proptest! {
        #[test]
        fn any_order_reads_back(blocks in prop::collection::vec(0_u64..1 << 28, 1..500)) {
            let chunks = blocks.chunks(16).enumerate();
            let frames = chunks.map(|(at, blocks)| frame(Some(at as u8), at as u32 * 100, blocks));
            let list = HotList { frames: frames.collect(), held: Vec::new() };
            let (_, bytes) = list.encode();
            prop_assert_eq!(HotList::decode(&bytes, 1 << 28).expect("just written"), list);
        }

        #[test]
        fn any_bytes_are_read_or_refused(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let (_, mut bytes) = example().encode();
            bytes.truncate(52);
            bytes.extend(tail);
            if let Ok(list) = HotList::decode(&bytes, 1000) {
                let blocks = list.frames.iter().flat_map(|frame| &frame.blocks);
                prop_assert!(blocks.into_iter().all(|(_, one)| one.block < 1000));
            }
        }
    }
}
