//! Cutting a stream into chunks where its content says so, so that the same bytes are cut the same
//! way wherever they stand.
//!
//! The rule is that of `FastCDC` (Xia et al., USENIX ATC 2016, with normalized chunking): a gear hash
//! `h = (h << 1) + GEAR[byte]` runs over each chunk from its byte `CHUNK_MIN_BYTES` on, starting at
//! 0; the chunk ends behind the first byte where the highest 18 bits of `h` are zero
//! or, from `CHUNK_TARGET_BYTES` on, the highest 14; at [`CHUNK_MAX_BYTES`] it ends
//! anyway. `GEAR[i]` is the first 8 bytes, little-endian, of the BLAKE3 digest of the one byte `i`.
//!
//! Where chunks end is not part of the format (a reader takes them as they are listed), but whoever
//! cuts otherwise shares nothing with what others stored.

use std::sync::LazyLock;

use crate::limits::{CHUNK_MAX_BYTES, CHUNK_MIN_BYTES, CHUNK_TARGET_BYTES};

/// Bits that must be zero before the target size: two more than would give it.
const STRICT_BITS: u32 = CHUNK_TARGET_BYTES.ilog2() + 2;
/// Bits that must be zero after it: two fewer.
const EASY_BITS: u32 = CHUNK_TARGET_BYTES.ilog2() - 2;

static GEAR: LazyLock<[u64; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let digest = blake3::hash(&[byte as u8]);
        let first = digest.as_bytes().first_chunk();
        u64::from_le_bytes(*first.expect("a digest has 32 bytes"))
    })
});

/// Finds the ends of chunks in one stream, given in pieces of any size.
#[derive(Debug, Clone, Default)]
pub struct Chunker {
    hash: u64,
    len: usize,
}

impl Chunker {
    /// Where the chunk that is open ends: behind so many of these bytes; or `None` if all of them
    /// belong to it and it goes on. Bytes behind an end are those of the next call.
    pub fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let skipped = CHUNK_MIN_BYTES.saturating_sub(self.len).min(bytes.len());
        let mut at = skipped;
        for (until, bits) in [
            (CHUNK_TARGET_BYTES, STRICT_BITS),
            (CHUNK_MAX_BYTES, EASY_BITS),
        ] {
            let end = until.saturating_sub(self.len).min(bytes.len());
            if let Some(found) = self.scan(&bytes[at.min(end)..end], u64::MAX << (64 - bits)) {
                *self = Self::default();
                return Some(at + found);
            }
            at = at.max(end);
        }
        self.len += bytes.len();
        if self.len < CHUNK_MAX_BYTES {
            return None;
        }
        let end = bytes.len() - (self.len - CHUNK_MAX_BYTES);
        *self = Self::default();
        Some(end)
    }

    /// Runs the hash over bytes, up to and with the first where `mask` is zero.
    fn scan(&mut self, bytes: &[u8], mask: u64) -> Option<usize> {
        let gear = &*GEAR;
        let mut hash = self.hash;
        for (at, byte) in bytes.iter().enumerate() {
            hash = (hash << 1).wrapping_add(gear[usize::from(*byte)]);
            if hash & mask == 0 {
                return Some(at + 1);
            }
        }
        self.hash = hash;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that look random and are the same everywhere.
    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.finalize_xof().fill(&mut out);
        out
    }

    fn lengths(bytes: &[u8], piece: usize) -> Vec<usize> {
        let mut chunker = Chunker::default();
        let (mut lengths, mut open) = (Vec::new(), 0);
        for mut piece in bytes.chunks(piece) {
            while let Some(end) = chunker.find_end(piece) {
                lengths.push(open + end);
                open = 0;
                piece = &piece[end..];
            }
            open += piece.len();
        }
        lengths.push(open);
        lengths
    }

    #[test]
    fn golden_ends() {
        let gear = [GEAR[0], GEAR[1], GEAR[255]];
        let expected = [
            0xf161_1bf1_dfde_3a2d,
            0xe072_c1bb_1f72_fc48,
            0x6d93_c57b_374d_d499,
        ];
        assert_eq!(gear, expected);
        let lengths = lengths(&noise(1, 1 << 20), 1 << 20);
        let expected = [
            66000, 19574, 66791, 75382, 69464, 73141, 101_263, 69243, 68842, 68463, 80754, 73123,
            65852, 107_276, 43408,
        ];
        assert_eq!(
            lengths, expected,
            "ends moved: nothing that was stored before is shared"
        );
    }

    #[test]
    fn sizes_are_within_their_bounds_and_near_their_target() {
        let bytes = noise(2, 16 << 20);
        let lengths = lengths(&bytes, 1 << 16);
        let (last, others) = lengths.split_last().expect("chunks");
        assert!(*last <= CHUNK_MAX_BYTES);
        assert!(
            others
                .iter()
                .all(|len| (CHUNK_MIN_BYTES..=CHUNK_MAX_BYTES).contains(len))
        );
        let mean = bytes.len() / lengths.len();
        assert!(
            (CHUNK_TARGET_BYTES / 2..CHUNK_TARGET_BYTES * 2).contains(&mean),
            "{mean}"
        );
    }

    #[test]
    fn a_stream_of_one_byte_is_cut_at_the_largest_size() {
        assert_eq!(
            lengths(&vec![0; 3 * CHUNK_MAX_BYTES], 1000),
            [CHUNK_MAX_BYTES, CHUNK_MAX_BYTES, CHUNK_MAX_BYTES, 0]
        );
    }

    #[test]
    fn bytes_put_in_front_move_the_ends_and_nothing_else() {
        let bytes = noise(3, 4 << 20);
        let mut moved = noise(4, 1000);
        moved.extend_from_slice(&bytes);
        let ends = |lengths: Vec<usize>, start: usize| {
            let ends = lengths.into_iter().scan(0, |at, len| {
                *at += len;
                Some(*at)
            });
            ends.filter_map(|end| end.checked_sub(start))
                .collect::<std::collections::BTreeSet<_>>()
        };
        let (before, after) = (
            ends(lengths(&bytes, 4096), 0),
            ends(lengths(&moved, 4096), 1000),
        );
        let lost = before.difference(&after).count();
        assert!(lost <= 4, "{lost} of {} ends are lost", before.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn the_sizes_of_the_pieces_do_not_matter(seed: u64, len in 0_usize..1_500_000, piece in 1_usize..200_000) {
            let bytes = noise(seed, len);
            prop_assert_eq!(lengths(&bytes, piece), lengths(&bytes, usize::MAX));
        }
    }
}
