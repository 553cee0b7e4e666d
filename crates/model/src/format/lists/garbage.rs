//! Lists of garbage: objects that a collection is about to remove.
//!
//! # Data format
//!
//! ```text
//! "LARDERGB"  version u16 = 1  0 u16        12 bytes
//! nonce u64                                 8 bytes
//! per object, ascending:  the first 8 bytes of its id
//! ```
//!
//! The nonce makes two lists of the same objects two objects. Stored at `sweeps/<time>-<id>`, where the id is
//! the BLAKE3 digest of the bytes.

use crate::digest::GarbageId;
use crate::format::limits::GARBAGE_MAX;
use crate::format::wire::{FormatError, Reader, write_header};

const MAGIC: [u8; 8] = *b"LARDERGB";
const VERSION: u16 = 1;
const OBJECT: &str = "list of garbage";

/// Bytes of a list that names nothing.
pub const EMPTY_BYTES: usize = 20;
/// Most bytes of an encoded list.
pub const GARBAGE_MAX_BYTES: usize = EMPTY_BYTES + 8 * GARBAGE_MAX;

/// The beginning of an object's id. Two objects that share it are taken for one, always on the safe side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Brief(u64);

impl Brief {
    /// That of an id.
    pub fn of(id: &[u8; 32]) -> Self {
        let first = id.first_chunk().expect("an id has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }
}

/// Objects, by the beginnings of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Garbage(Vec<Brief>);

impl Garbage {
    /// Whether it names an object.
    pub fn names(&self, object: Brief) -> bool {
        self.0.binary_search(&object).is_ok()
    }

    /// The objects that it names.
    pub fn iter(&self) -> impl Iterator<Item = Brief> + '_ {
        self.0.iter().copied()
    }

    /// The bytes of the list, and its id. A longer list is cut: what is not in it is found again.
    pub fn encode(&self, nonce: u64) -> (GarbageId, Vec<u8>) {
        let mut out = Vec::with_capacity(EMPTY_BYTES + 8 * self.0.len());
        write_header(&mut out, MAGIC, VERSION);
        out.extend_from_slice(&nonce.to_le_bytes());
        for Brief(first) in self.0.iter().take(GARBAGE_MAX) {
            out.extend_from_slice(&first.to_be_bytes());
        }
        (GarbageId::of(&out), out)
    }

    /// Reads a list.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut from = Reader::open(OBJECT, bytes, GARBAGE_MAX_BYTES, MAGIC, VERSION)?;
        let _nonce = from.u64("nonce")?;
        let (names, left) = from.rest().as_chunks();
        let list: Vec<Brief> = names
            .iter()
            .map(|first| Brief(u64::from_be_bytes(*first)))
            .collect();
        if !left.is_empty() || !list.is_sorted() {
            return Err(FormatError::invalid(OBJECT, "its names are not in order"));
        }
        Ok(Self(list))
    }
}

impl FromIterator<Brief> for Garbage {
    fn from_iter<I: IntoIterator<Item = Brief>>(objects: I) -> Self {
        let mut list: Vec<Brief> = objects.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        Self(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(objects: &[u8]) -> Garbage {
        objects.iter().map(|seed| Brief::of(&[*seed; 32])).collect()
    }

    #[test]
    fn golden_bytes() {
        let (id, bytes) = list(&[9, 1, 9]).encode(7);
        assert_eq!(bytes[..20], *b"LARDERGB\x01\0\0\0\x07\0\0\0\0\0\0\0");
        assert_eq!(bytes[20..], [[1; 8], [9; 8]].concat());
        assert_eq!(id, GarbageId::of(&bytes));
        let read = Garbage::decode(&bytes).expect("a list");
        assert_eq!(read, list(&[1, 9]));
        assert!(read.names(Brief::of(&[9; 32])) && !read.names(Brief::of(&[8; 32])));
    }

    #[test]
    fn what_is_cut_or_out_of_order_is_refused() {
        let (_, bytes) = list(&[1, 9]).encode(7);
        for len in 0..bytes.len() {
            let whole = len == EMPTY_BYTES || len == EMPTY_BYTES + 8;
            assert_eq!(
                Garbage::decode(&bytes[..len]).is_ok(),
                whole,
                "cut at {len}"
            );
        }
        let mut other = bytes;
        other[20] = 10;
        assert!(Garbage::decode(&other).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tail in prop::collection::vec(any::<u8>(), 0..64)) {
            let (_, mut bytes) = Garbage::default().encode(0);
            bytes.extend(tail);
            if let Ok(list) = Garbage::decode(&bytes) {
                prop_assert!(list.iter().all(|object| list.names(object)));
            }
        }
    }
}
