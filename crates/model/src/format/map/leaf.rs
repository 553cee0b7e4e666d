//! Leaves of a map.
//!
//! # Data format
//!
//! ```text
//! "LARDERLF"  version u16 = 1  0 u16                            12 bytes
//! packs u16  frames u16  entries u16                            6 bytes
//! bitmap of 1024 bits: bit i (byte i / 8, bit i % 8) is set when block i is not zero
//! per pack:   digest [32]
//! per frame:  pack u16  blocks u8  0 u8  offset u32  stored bytes u32
//! per entry (one for each bit set, ascending):  block digest [32]  frame u16  slot u8
//! ```
//!
//! Packs and frames stand in the order in which the entries first name them, so that equal content
//! has equal bytes. A leaf has no object of its own: a save writes all its new leaves, back to back,
//! as one object.

use std::collections::{BTreeMap, HashMap};

use crate::digest::{BlockId, LeafId, PackId};
use crate::format::frame::{BlockRef, FrameRef, FrameSlot};
use crate::format::limits::{LEAF_BLOCKS, LEAF_MAX_BYTES};
use crate::format::wire::{FormatError, Reader, write_header};

const MAGIC: [u8; 8] = *b"LARDERLF";
const VERSION: u16 = 1;
const OBJECT: &str = "map leaf";
const BITMAP_BYTES: usize = LEAF_BLOCKS / 8;

/// The blocks of one region of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    bitmap: [u8; BITMAP_BYTES],
    packs: Vec<PackId>,
    frames: Vec<LeafFrame>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LeafFrame {
    pack: u16,
    slot: FrameSlot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    id: BlockId,
    frame: u16,
    slot: u8,
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            bitmap: [0; BITMAP_BYTES],
            packs: Vec::new(),
            frames: Vec::new(),
            entries: Vec::new(),
        }
    }
}

impl Leaf {
    /// A leaf of these blocks, given by place in ascending order; all others are zero.
    pub(crate) fn from_blocks(blocks: impl IntoIterator<Item = (usize, BlockRef)>) -> Self {
        let mut leaf = Self::default();
        let mut packs = HashMap::new();
        let mut frames = HashMap::new();
        for (at, block) in blocks {
            let pack = *packs.entry(block.frame.pack).or_insert_with(|| {
                leaf.packs.push(block.frame.pack);
                (leaf.packs.len() - 1) as u16
            });
            let slot = block.frame.slot;
            let frame = *frames.entry((pack, slot)).or_insert_with(|| {
                leaf.frames.push(LeafFrame { pack, slot });
                (leaf.frames.len() - 1) as u16
            });
            leaf.bitmap[at / 8] |= 1 << (at % 8);
            leaf.entries.push(Entry {
                id: block.id,
                frame,
                slot: block.slot,
            });
        }
        leaf
    }

    /// This leaf with some blocks replaced; `None` makes a block zero.
    #[must_use]
    pub fn edited(&self, changes: &BTreeMap<usize, Option<BlockRef>>) -> Self {
        let mut blocks: BTreeMap<usize, BlockRef> = self.blocks().collect();
        for (at, change) in changes {
            match change {
                Some(block) => blocks.insert(*at, *block),
                None => blocks.remove(at),
            };
        }
        Self::from_blocks(blocks)
    }

    /// Whether every block is zero.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The block at a place, or `None` where it is zero.
    pub fn get(&self, at: usize) -> Option<BlockRef> {
        if !self.has(at) {
            return None;
        }
        let whole: u32 = self.bitmap[..at / 8]
            .iter()
            .map(|byte| byte.count_ones())
            .sum();
        let below = self.bitmap[at / 8] & ((1 << (at % 8)) - 1);
        Some(self.resolve(&self.entries[(whole + below.count_ones()) as usize]))
    }

    fn has(&self, at: usize) -> bool {
        self.bitmap[at / 8] & (1 << (at % 8)) != 0
    }

    fn resolve(&self, entry: &Entry) -> BlockRef {
        let LeafFrame { pack, slot } = self.frames[usize::from(entry.frame)];
        BlockRef {
            id: entry.id,
            frame: FrameRef {
                pack: self.packs[usize::from(pack)],
                slot,
            },
            slot: entry.slot,
        }
    }

    /// The blocks that are not zero, with their places, ascending.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, BlockRef)> + '_ {
        let places = (0..LEAF_BLOCKS).filter(|at| self.has(*at));
        places.zip(self.entries.iter().map(|entry| self.resolve(entry)))
    }

    /// The frames that hold its blocks.
    pub fn frames(&self) -> impl Iterator<Item = FrameRef> + '_ {
        self.frames.iter().map(|LeafFrame { pack, slot }| FrameRef {
            pack: self.packs[usize::from(*pack)],
            slot: *slot,
        })
    }

    /// The bytes of the leaf, and its id.
    pub fn encode(&self) -> (LeafId, Vec<u8>) {
        let mut out = Vec::new();
        write_header(&mut out, MAGIC, VERSION);
        for count in [self.packs.len(), self.frames.len(), self.entries.len()] {
            let count = u16::try_from(count).expect("a leaf has 1024 blocks at most");
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&self.bitmap);
        self.packs
            .iter()
            .for_each(|pack| out.extend_from_slice(pack.as_bytes()));
        for LeafFrame { pack, slot } in &self.frames {
            out.extend_from_slice(&pack.to_le_bytes());
            out.extend_from_slice(&[slot.holds, 0]);
            out.extend_from_slice(&slot.offset.to_le_bytes());
            out.extend_from_slice(&slot.stored_bytes.to_le_bytes());
        }
        for entry in &self.entries {
            out.extend_from_slice(entry.id.as_bytes());
            out.extend_from_slice(&entry.frame.to_le_bytes());
            out.push(entry.slot);
        }
        (LeafId::of(&out), out)
    }

    /// Reads a leaf. Every reference in it is checked, so that the other methods cannot panic.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut from = Reader::open(OBJECT, bytes, LEAF_MAX_BYTES, MAGIC, VERSION)?;
        let packs = from.u16("pack count")?;
        let frames = from.u16("frame count")?;
        let entries = from.u16("entry count")?;
        let bitmap: [u8; BITMAP_BYTES] = from
            .take("bitmap", BITMAP_BYTES)?
            .try_into()
            .expect("take returns the length asked for");
        let bits: u32 = bitmap.iter().map(|byte| byte.count_ones()).sum();
        if bits != u32::from(entries) {
            return Err(from.invalid(format!("{bits} bits for {entries} entries")));
        }
        let mut leaf = Self {
            bitmap,
            ..Self::default()
        };
        for _ in 0..packs {
            leaf.packs
                .push(PackId::from_bytes(from.digest("pack digest")?));
        }
        for _ in 0..frames {
            let frame = leaf.read_frame(&mut from)?;
            leaf.frames.push(frame);
        }
        for _ in 0..entries {
            let entry = leaf.read_entry(&mut from)?;
            leaf.entries.push(entry);
        }
        from.end()?;
        Ok(leaf)
    }

    fn read_frame(&self, from: &mut Reader<'_>) -> Result<LeafFrame, FormatError> {
        let pack = from.u16("frame pack")?;
        let holds = from.u8("frame blocks")?;
        let _zero = from.u8("frame padding")?;
        let slot = FrameSlot {
            offset: from.u32("frame offset")?,
            stored_bytes: from.u32("frame length")?,
            holds,
        };
        if usize::from(pack) >= self.packs.len() {
            return Err(from.invalid(format!("a frame in pack {pack}, which is not listed")));
        }
        match slot.fault() {
            Some(fault) => Err(from.invalid(fault)),
            None => Ok(LeafFrame { pack, slot }),
        }
    }

    fn read_entry(&self, from: &mut Reader<'_>) -> Result<Entry, FormatError> {
        let entry = Entry {
            id: BlockId::from_bytes(from.digest("block digest")?),
            frame: from.u16("block frame")?,
            slot: from.u8("block slot")?,
        };
        match self.frames.get(usize::from(entry.frame)) {
            Some(frame) if entry.slot < frame.slot.holds => Ok(entry),
            _ => Err(from.invalid(format!(
                "a block in slot {} of frame {}",
                entry.slot, entry.frame
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(seed: u8, slot: u8) -> BlockRef {
        BlockRef {
            id: BlockId::of(&[seed, slot]),
            frame: FrameRef {
                pack: PackId::of(&[seed % 3]),
                slot: FrameSlot {
                    offset: 12 + u32::from(seed) * 1000,
                    stored_bytes: 1000,
                    holds: 16,
                },
            },
            slot,
        }
    }

    #[test]
    fn golden_bytes() {
        let leaf = Leaf::from_blocks([(0, block(1, 0)), (1, block(1, 1)), (1023, block(2, 15))]);
        let (id, bytes) = leaf.encode();
        assert_eq!(bytes.len(), 12 + 6 + 128 + 2 * 32 + 2 * 12 + 3 * 35);
        assert_eq!(
            id.to_string(),
            "17a36f4fc28b99e5351b99bf8611c35ba5ebbfa041fdecb3f305a4f894b7b53f",
            "the leaf format changed: give it a new version"
        );
        assert_eq!(Leaf::decode(&bytes), Ok(leaf));
    }

    #[test]
    fn a_full_leaf_fits_its_bound() {
        let alone = |at: usize| BlockRef {
            id: BlockId::of(&at.to_le_bytes()),
            frame: FrameRef {
                pack: PackId::of(&at.to_le_bytes()),
                slot: FrameSlot {
                    offset: 12,
                    stored_bytes: 9,
                    holds: 1,
                },
            },
            slot: 0,
        };
        let (_, bytes) = Leaf::from_blocks((0..LEAF_BLOCKS).map(|at| (at, alone(at)))).encode();
        assert!(bytes.len() <= LEAF_MAX_BYTES, "{} bytes", bytes.len());
        assert!(Leaf::decode(&bytes).is_ok());
    }

    #[test]
    fn a_reference_to_nothing_is_refused() {
        let (_, bytes) = Leaf::from_blocks([(5, block(1, 3))]).encode();
        for (at, value) in [
            (bytes.len() - 1, 16),
            (bytes.len() - 3, 1),
            (12 + 6 + 128 + 32, 1),
        ] {
            let mut broken = bytes.clone();
            broken[at] = value;
            assert!(Leaf::decode(&broken).is_err(), "byte {at} = {value}");
        }
    }

    type Change = (usize, Option<(u8, u8)>);

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        prop::collection::vec(
            (0..LEAF_BLOCKS, prop::option::of((any::<u8>(), 0_u8..16))),
            0..200,
        )
    }

    proptest! {
        #[test]
        fn edits_read_back(steps in prop::collection::vec(changes(), 0..4)) {
            let mut model: BTreeMap<usize, BlockRef> = BTreeMap::new();
            let mut leaf = Leaf::default();
            for step in steps {
                let mut edit = BTreeMap::new();
                for (at, change) in step {
                    let change = change.map(|(seed, slot)| block(seed, slot));
                    edit.insert(at, change);
                    match change {
                        Some(new) => model.insert(at, new),
                        None => model.remove(&at),
                    };
                }
                leaf = leaf.edited(&edit);
            }
            let (_, bytes) = leaf.encode();
            let back = Leaf::decode(&bytes).expect("a leaf just written");
            prop_assert_eq!(&back, &leaf);
            prop_assert_eq!(back.blocks().collect::<BTreeMap<_, _>>(), model.clone());
            for at in 0..LEAF_BLOCKS {
                prop_assert_eq!(back.get(at), model.get(&at).copied());
            }
            prop_assert_eq!(Leaf::from_blocks(model), leaf);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (_, mut valid) = Leaf::from_blocks([(5, block(1, 3)), (9, block(2, 3))]).encode();
            prop_assert!(Leaf::decode(&bytes).is_err());
            for (at, byte) in bytes.iter().enumerate().take(valid.len()) {
                valid[at] ^= byte & 1;
            }
            if let Ok(leaf) = Leaf::decode(&valid) {
                let found = (0..LEAF_BLOCKS).filter(|at| leaf.get(*at).is_some());
                prop_assert_eq!(found.count(), leaf.blocks().count());
            }
        }
    }
}
