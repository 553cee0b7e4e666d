//! The root of a map.
//!
//! # Data format
//!
//! ```text
//! "LARDERMP"  version u16 = 1  0 u16                                   12 bytes
//! block bytes u32  blocks in the volume u64  objects u32  leaves u32   20 bytes
//! per object of leaves:  digest [32]
//! per leaf (ascending by index):  index u32  object u32  offset u32  bytes u32  digest [32]
//! ```
//!
//! Stored at `maps/<id>`, where the id is the BLAKE3 digest of the bytes.

use std::collections::{BTreeMap, HashMap};

use crate::digest::{LeafId, LeavesId, MapId};
use crate::format::limits::{
    BLOCK_BYTES, LEAF_BLOCKS, LEAF_MAX_BYTES, LEAVES_MAX_BYTES, MAP_MAX_BYTES, VOLUME_MAX_BYTES,
};
use crate::format::wire::{FormatError, Reader, write_header};

const MAGIC: [u8; 8] = *b"LARDERMP";
const VERSION: u16 = 1;
const OBJECT: &str = "map";

/// Where a leaf rests: a range of bytes of an object of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafRef {
    /// The digest of the leaf's bytes.
    pub id: LeafId,
    /// The object that holds them.
    pub object: LeavesId,
    /// Where in it they start.
    pub offset: u32,
    /// How many they are.
    pub bytes: u32,
}

impl LeafRef {
    /// The bytes of the object that hold the leaf.
    pub fn range(&self) -> std::ops::Range<u64> {
        let start = u64::from(self.offset);
        start..start + u64::from(self.bytes)
    }
}

/// The root: the size of the volume and its leaves by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapRoot {
    blocks: u64,
    leaves: BTreeMap<u32, LeafRef>,
}

impl MapRoot {
    /// The map of an empty volume of this many bytes.
    pub fn empty(volume_bytes: u64) -> Result<Self, FormatError> {
        if volume_bytes == 0
            || volume_bytes > VOLUME_MAX_BYTES
            || !volume_bytes.is_multiple_of(BLOCK_BYTES as u64)
        {
            return Err(FormatError::invalid(
                OBJECT,
                format!(
                    "a volume of {volume_bytes} bytes: the size is a multiple of {BLOCK_BYTES} \
                     and at most {VOLUME_MAX_BYTES}"
                ),
            ));
        }
        Ok(Self {
            blocks: volume_bytes / BLOCK_BYTES as u64,
            leaves: BTreeMap::new(),
        })
    }

    /// Size of the volume in blocks.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Size of the volume in bytes.
    pub fn volume_bytes(&self) -> u64 {
        self.blocks * BLOCK_BYTES as u64
    }

    /// The leaf that covers a region, or `None` where all of it is zero.
    pub fn leaf(&self, index: u32) -> Option<&LeafRef> {
        self.leaves.get(&index)
    }

    /// All leaves by index, ascending.
    pub fn leaves(&self) -> impl Iterator<Item = (u32, &LeafRef)> {
        self.leaves.iter().map(|(index, leaf)| (*index, leaf))
    }

    /// Replaces a leaf; `None` makes its whole region zero.
    pub fn set_leaf(&mut self, index: u32, leaf: Option<LeafRef>) {
        match leaf {
            Some(leaf) => self.leaves.insert(index, leaf),
            None => self.leaves.remove(&index),
        };
    }

    /// The bytes of the root, and its id.
    pub fn encode(&self) -> (MapId, Vec<u8>) {
        let mut objects: Vec<LeavesId> = Vec::new();
        let mut places = HashMap::new();
        for leaf in self.leaves.values() {
            places.entry(leaf.object).or_insert_with(|| {
                objects.push(leaf.object);
                (objects.len() - 1) as u32
            });
        }
        let mut out = Vec::new();
        write_header(&mut out, MAGIC, VERSION);
        out.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.extend_from_slice(&(objects.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.leaves.len() as u32).to_le_bytes());
        for object in &objects {
            out.extend_from_slice(object.as_bytes());
        }
        for (index, leaf) in &self.leaves {
            for number in [*index, places[&leaf.object], leaf.offset, leaf.bytes] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(leaf.id.as_bytes());
        }
        (MapId::of(&out), out)
    }

    /// Reads a root.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut from = Reader::open(OBJECT, bytes, MAP_MAX_BYTES, MAGIC, VERSION)?;
        let block_bytes = from.u32("block size")?;
        if block_bytes as usize != BLOCK_BYTES {
            return Err(from.invalid(format!("blocks of {block_bytes} bytes")));
        }
        let blocks = from.u64("volume size")?;
        let size = blocks.checked_mul(BLOCK_BYTES as u64);
        let mut root = Self::empty(size.unwrap_or(u64::MAX))?;
        let object_count = from.u32("object count")?;
        let leaf_count = from.u32("leaf count")?;
        let mut objects = Vec::new();
        for _ in 0..object_count {
            objects.push(LeavesId::from_bytes(from.digest("object digest")?));
        }
        for _ in 0..leaf_count {
            let (index, leaf) = root.read_leaf(&mut from, &objects)?;
            root.leaves.insert(index, leaf);
        }
        from.end()?;
        // One map has one name: no object that holds none of its leaves, none twice, none in another order.
        if root.encode().1 != bytes {
            return Err(FormatError::invalid(
                OBJECT,
                "its objects are not those of its leaves, in their order",
            ));
        }
        Ok(root)
    }

    fn read_leaf(
        &self,
        from: &mut Reader<'_>,
        objects: &[LeavesId],
    ) -> Result<(u32, LeafRef), FormatError> {
        let index = from.u32("leaf index")?;
        let object = from.u32("leaf object")? as usize;
        let offset = from.u32("leaf offset")?;
        let bytes = from.u32("leaf length")?;
        let id = LeafId::from_bytes(from.digest("leaf digest")?);
        let ascending = self
            .leaves
            .last_key_value()
            .is_none_or(|(last, _)| *last < index);
        if !ascending || u64::from(index) * LEAF_BLOCKS as u64 >= self.blocks {
            return Err(from.invalid(format!("leaf {index} is out of order or out of the volume")));
        }
        let end = u64::from(offset) + u64::from(bytes);
        if bytes as usize > LEAF_MAX_BYTES || end > LEAVES_MAX_BYTES as u64 {
            return Err(from.invalid(format!("leaf {index} has {bytes} bytes at {offset}")));
        }
        let Some(&object) = objects.get(object) else {
            return Err(from.invalid(format!("leaf {index} is in object {object}, not listed")));
        };
        let leaf = LeafRef {
            id,
            object,
            offset,
            bytes,
        };
        Ok((index, leaf))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(seed: u8) -> LeafRef {
        LeafRef {
            id: LeafId::of(&[seed]),
            object: LeavesId::of(&[seed % 2]),
            offset: u32::from(seed) * 100,
            bytes: 100,
        }
    }

    fn small() -> MapRoot {
        let mut root = MapRoot::empty(64 << 30).expect("a fair size");
        for index in [0, 3, 1023] {
            root.set_leaf(index, Some(leaf(index as u8)));
        }
        root
    }

    #[test]
    fn golden_bytes() {
        let (id, bytes) = small().encode();
        assert_eq!(bytes.len(), 12 + 20 + 2 * 32 + 3 * 48);
        assert_eq!(
            id.to_string(),
            "4e6a4497faa8d34bb22de84fef47c9240cda746e3efda221115fd6463eb048a7",
            "the map format changed: give it a new version"
        );
        assert_eq!(MapRoot::decode(&bytes), Ok(small()));
    }

    #[test]
    fn an_empty_volume_of_any_size_costs_32_bytes() {
        let (_, bytes) = MapRoot::empty(VOLUME_MAX_BYTES)
            .expect("the largest")
            .encode();
        assert_eq!(bytes.len(), 32);
    }

    #[test]
    fn sizes_that_are_not_volumes_are_refused() {
        for size in [0, 1, 65_535, 65_537, VOLUME_MAX_BYTES + 65_536, u64::MAX] {
            assert!(MapRoot::empty(size).is_err(), "{size}");
        }
    }

    #[test]
    fn objects_that_hold_no_leaf_are_refused() {
        let (_, bytes) = MapRoot::empty(1 << 20).expect("a fair size").encode();
        let object_count = 12 + 4 + 8;
        let mut more = [bytes, vec![7; 32]].concat();
        more[object_count] = 1;
        assert!(MapRoot::decode(&more).is_err());
    }

    #[test]
    fn cuts_and_leaves_out_of_order_are_refused() {
        let (_, bytes) = small().encode();
        for len in 0..bytes.len() {
            assert!(MapRoot::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
        let mut swapped = bytes.clone();
        let first = 12 + 20 + 2 * 32;
        swapped[first] = 9;
        assert!(MapRoot::decode(&swapped).is_err());
        let mut beyond = bytes;
        beyond[first + 2 * 48 + 1] = 0xff;
        assert!(MapRoot::decode(&beyond).is_err());
    }
}
