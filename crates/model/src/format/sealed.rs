//! Sealed stores: what is encrypted at rest, as it lies there.
//!
//! # Data format
//!
//! A sealed store is a tree of its own, [`TREE`], beside the plain one, [`address::FORMAT`](crate::address::FORMAT).
//! Its objects are those of a plain store, each sealed as a whole, under names that are sealed too. A random
//! **data key** seals all of them. The list of keys, [`RING`], holds that key once for each user's key, wrapped in it:
//!
//! ```text
//! "LARDERKY"  version u16 = 1  0 u16                12 bytes
//! slots u32                                         4 bytes
//! per slot:  id of the user's key [8]  nonce [12]  the data key, encrypted [32]  tag [16]
//! BLAKE3 digest of all before                       32 bytes
//! ```
//!
//! An object's bytes are cut into **segments** of [`SEGMENT_BYTES`]; the last one is shorter, or empty in an object
//! without bytes, and is the last one by the first bit of its nonce:
//!
//! ```text
//! per segment:  nonce [12]  the bytes, encrypted  tag [16]
//! ```
//!
//! So a range of an object is read by reading the segments that it lies in, and nothing else.

use std::fmt;
use std::ops::Range;

use crate::format::wire::{FormatError, Reader, write_header};
use crate::hex;

/// The tree of a sealed store.
pub const TREE: &str = "v1-sealed";
/// The path of the list of keys.
pub const RING: &str = "v1-sealed/keys";

/// Bytes of an object that are encrypted together. Whoever reads a range reads up to one segment too much at each end;
/// shorter ones cost more room (28 bytes each) and time.
pub const SEGMENT_BYTES: usize = 8 * 1024;
/// Bytes of a nonce (RFC 5116, AES-256-GCM).
pub const NONCE_BYTES: usize = 12;
/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;
/// What a segment has beside its bytes.
pub const EXTRA_BYTES: usize = NONCE_BYTES + TAG_BYTES;
/// Bytes of a segment that is full, as it is stored.
pub const STORED_BYTES: usize = SEGMENT_BYTES + EXTRA_BYTES;
/// The bit of a nonce's first byte that only the last segment of an object has.
pub const LAST: u8 = 0x80;

/// Bytes that an object has when it is sealed.
pub const fn sealed_bytes(plain: u64) -> u64 {
    let segments = plain.div_ceil(SEGMENT_BYTES as u64);
    let at_least_one = if segments == 0 { 1 } else { segments };
    plain + at_least_one * EXTRA_BYTES as u64
}

/// Bytes that a sealed object has when it is opened; too few of an object that is cut.
pub const fn plain_bytes(sealed: u64) -> u64 {
    sealed.saturating_sub(sealed.div_ceil(STORED_BYTES as u64) * EXTRA_BYTES as u64)
}

/// The segments that a range of an object lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// The number of the first one.
    pub first: u64,
    /// Where they are, if all of them are full.
    pub stored: Range<u64>,
    /// Where the stored object ends at the earliest if it has the range.
    pub end_min: u64,
    /// Where the range is in what they hold.
    pub within: Range<usize>,
}

impl Segments {
    /// Those of a range of an object.
    pub fn of(range: &Range<u64>) -> Self {
        const SEGMENT: u64 = SEGMENT_BYTES as u64;
        const STORED: u64 = STORED_BYTES as u64;
        let end = range.end.max(range.start + 1);
        let (first, last) = (range.start / SEGMENT, (end - 1) / SEGMENT);
        let start = first * SEGMENT;
        Self {
            first,
            stored: first * STORED..(last + 1) * STORED,
            end_min: last * STORED + (end - last * SEGMENT) + EXTRA_BYTES as u64,
            within: (range.start - start) as usize..(range.end.max(start) - start) as usize,
        }
    }
}

/// What a user's key is called. It tells nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The data key, wrapped in a user's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The user's key.
    pub key: KeyId,
    /// The nonce.
    pub nonce: [u8; NONCE_BYTES],
    /// The data key, encrypted, and the tag.
    pub wrapped: [u8; 32 + TAG_BYTES],
}

/// The list of keys of a sealed store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring {
    /// One for each user's key.
    pub slots: Vec<Slot>,
}

const MAGIC: [u8; 8] = *b"LARDERKY";
const VERSION: u16 = 1;
const OBJECT: &str = "list of keys";
/// Most slots: many times what a rotation needs.
const SLOTS_MAX: usize = 256;
const SLOT_BYTES: usize = 8 + NONCE_BYTES + 32 + TAG_BYTES;
const DIGEST_BYTES: usize = 32;
/// Most bytes of a list of keys.
pub const RING_MAX_BYTES: usize = 12 + 4 + SLOTS_MAX * SLOT_BYTES + DIGEST_BYTES;

/// Whether bytes are meant as a list of keys, damaged or not.
pub fn is_ring(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

impl Ring {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(&mut out, MAGIC, VERSION);
        out.extend_from_slice(&(self.slots.len() as u32).to_le_bytes());
        for slot in &self.slots {
            out.extend_from_slice(&slot.key.0);
            out.extend_from_slice(&slot.nonce);
            out.extend_from_slice(&slot.wrapped);
        }
        let digest = blake3::hash(&out);
        out.extend_from_slice(digest.as_bytes());
        out
    }

    /// Reads one.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut from = Reader::open(OBJECT, bytes, RING_MAX_BYTES, MAGIC, VERSION)?;
        let digest = bytes.split_last_chunk::<DIGEST_BYTES>();
        let whole = digest.is_some_and(|(rest, digest)| blake3::hash(rest) == *digest);
        if !whole {
            return Err(from.invalid("it does not have its digest"));
        }
        let count = from.u32("slots")? as usize;
        if count > SLOTS_MAX {
            return Err(from.invalid(format!("it has {count} slots")));
        }
        let mut slots = Vec::new();
        for _ in 0..count {
            slots.push(Slot {
                key: KeyId(from.array("key")?),
                nonce: from.array("nonce")?,
                wrapped: from.array("wrapped key")?,
            });
        }
        from.take("digest", DIGEST_BYTES)?;
        from.end()?;
        Ok(Self { slots })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring() -> Ring {
        let slot = |byte| Slot {
            key: KeyId([byte; 8]),
            nonce: [byte + 1; NONCE_BYTES],
            wrapped: [byte + 2; 48],
        };
        Ring {
            slots: vec![slot(1), slot(0x40)],
        }
    }

    #[test]
    fn a_list_of_keys_reads_back_and_its_bytes_stay() {
        let bytes = ring().encode();
        assert_eq!(Ring::decode(&bytes), Ok(ring()));
        assert_eq!(bytes.len(), 12 + 4 + 2 * 68 + 32);
        assert_eq!(&bytes[..17], b"LARDERKY\x01\0\0\0\x02\0\0\0\x01");
        assert_eq!(ring().slots[1].key.to_string(), "4040404040404040");
    }

    #[test]
    fn a_list_of_keys_that_is_changed_or_cut_is_none() {
        let bytes = ring().encode();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Ring::decode(&flipped).is_err(), "{at}");
            assert!(Ring::decode(&bytes[..at]).is_err(), "{at}");
        }
        assert!(Ring::decode(&[&bytes[..], b"x"].concat()).is_err());
    }

    proptest! {
        #[test]
        fn sizes_lead_back(plain in 0..10_000_000_u64) {
            prop_assert_eq!(plain_bytes(sealed_bytes(plain)), plain);
        }

        #[test]
        fn a_range_lies_in_its_segments(start in 0..100_000_u64, len in 1..100_000_u64, more in 0..20_000_u64) {
            let segments = Segments::of(&(start..start + len));
            prop_assert_eq!(segments.first * SEGMENT_BYTES as u64 + segments.within.start as u64, start);
            prop_assert_eq!(segments.within.len() as u64, len);
            prop_assert_eq!(segments.end_min, sealed_bytes(start + len));
            let stored = segments.stored.end.min(sealed_bytes(start + len + more));
            prop_assert!(plain_bytes(stored - segments.stored.start) >= segments.within.end as u64);
            prop_assert!(segments.stored.end - segments.end_min < STORED_BYTES as u64);
        }
    }
}
