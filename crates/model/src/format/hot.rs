//! Hot lists: the blocks that a job read, in the order of first reading.
//!
//! # Data format
//!
//! ```text
//! "LARDERHL"  version u16 = 1  0 u16     12 bytes
//! blocks u32                             4 bytes
//! per block:  difference to the one before (the first: to 0), zigzag, as LEB128
//! ```
//!
//! Stored at `hot/<id>`, where the id is the BLAKE3 digest of the bytes.

use crate::digest::HotListId;
use crate::format::limits::{HOT_LIST_MAX_BLOCKS, HOT_LIST_MAX_BYTES};
use crate::format::wire::{FormatError, Reader, write_header, write_varint};

const MAGIC: [u8; 8] = *b"LARDERHL";
const VERSION: u16 = 1;
const OBJECT: &str = "hot list";

/// Writes a hot list; blocks beyond `HOT_LIST_MAX_BLOCKS` are left out.
pub fn encode(blocks: &[u64]) -> (HotListId, Vec<u8>) {
    let blocks = &blocks[..blocks.len().min(HOT_LIST_MAX_BLOCKS)];
    let mut out = Vec::new();
    write_header(&mut out, MAGIC, VERSION);
    out.extend_from_slice(&(blocks.len() as u32).to_le_bytes());
    let mut last = 0_i64;
    for block in blocks {
        let block = i64::try_from(*block).expect("a volume has fewer than 2^63 blocks");
        let step = block - last;
        write_varint(&mut out, (step << 1 ^ step >> 63).cast_unsigned());
        last = block;
    }
    (HotListId::of(&out), out)
}

/// Reads the hot list of a volume of `volume_blocks` blocks.
pub fn decode(bytes: &[u8], volume_blocks: u64) -> Result<Vec<u64>, FormatError> {
    let mut from = Reader::open(OBJECT, bytes, HOT_LIST_MAX_BYTES, MAGIC, VERSION)?;
    let count = from.u32("count")?;
    let mut blocks = Vec::new();
    let mut last = 0_i64;
    for _ in 0..count {
        let zigzag = from.varint("step")?;
        let step = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        last = last.wrapping_add(step);
        match u64::try_from(last) {
            Ok(block) if block < volume_blocks => blocks.push(block),
            _ => return Err(from.invalid(format!("block {last} is out of the volume"))),
        }
    }
    from.end()?;
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let (_, bytes) = encode(&[0, 1, 1_000_000, 7]);
        assert_eq!(bytes[..16], *b"LARDERHL\x01\0\0\0\x04\0\0\0");
        assert_eq!(bytes[16..], [0, 2, 0xfe, 0x88, 0x7a, 0xf1, 0x88, 0x7a]);
    }

    proptest! {
        #[test]
        fn any_order_reads_back(blocks in prop::collection::vec(0_u64..1 << 28, 0..500)) {
            let (_, bytes) = encode(&blocks);
            prop_assert_eq!(decode(&bytes, 1 << 28).expect("just written"), blocks);
        }

        #[test]
        fn any_bytes_are_read_or_refused(tail in prop::collection::vec(any::<u8>(), 0..100)) {
            let (_, mut bytes) = encode(&[1]);
            bytes.truncate(16);
            bytes.extend(tail);
            if let Ok(blocks) = decode(&bytes, 1000) {
                prop_assert!(blocks.iter().all(|block| *block < 1000));
            }
        }
    }
}
