//! Contents of objects, sealed and opened.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::{Bytes, BytesMut};
use larder_model::sealed::{
    EXTRA_BYTES, LAST, NONCE_BYTES, SEGMENT_BYTES, STORED_BYTES, sealed_bytes,
};

use super::Sealer;

impl Sealer {
    /// The bytes that are stored of an object.
    pub(crate) fn seal(&self, path: &str, plain: &[u8]) -> Vec<u8> {
        let own = ObjectKey::of(self, path);
        let mut stored = Vec::with_capacity(sealed_bytes(plain.len() as u64) as usize);
        let count = plain.len().div_ceil(SEGMENT_BYTES).max(1);
        for number in 0..count {
            let start = number * SEGMENT_BYTES;
            let end = plain.len().min(start + SEGMENT_BYTES);
            let is_last = number + 1 == count;
            own.seal_segment(number as u64, is_last, &plain[start..end], &mut stored);
        }
        stored
    }

    /// What an object holds. If this is not all that was sealed for this path, what opening has made of it: the same of
    /// the same bytes.
    pub(crate) fn open(&self, path: &str, stored: impl Into<BytesMut>) -> Result<Bytes, BytesMut> {
        let stored = stored.into();
        if has_last(&stored) {
            self.open_from(path, 0, stored)
        } else {
            Err(stored)
        }
    }

    /// What segments of an object hold, from this one on, in the memory in which they came: new memory would take more
    /// time than to decrypt. If they were not sealed for this place, the same as of [`Self::open`].
    pub(crate) fn open_from(
        &self,
        path: &str,
        first: u64,
        stored: impl Into<BytesMut>,
    ) -> Result<Bytes, BytesMut> {
        let mut bytes = stored.into();
        match ObjectKey::of(self, path).open_segments(first, &mut bytes) {
            Some(plain) => {
                bytes.truncate(plain);
                Ok(bytes.freeze())
            }
            None => Err(bytes),
        }
    }
}

/// Whether these segments go on to the end of their object, as they say.
pub(crate) fn has_last(stored: &[u8]) -> bool {
    let last = stored.chunks(STORED_BYTES).next_back();
    last.is_some_and(|last| last.len() >= EXTRA_BYTES && last[0] & LAST != 0)
}

/// The keys of one path.
struct ObjectKey {
    aead: LessSafeKey,
    nonces: [u8; 32],
}

impl ObjectKey {
    fn of(sealer: &Sealer, path: &str) -> Self {
        let mut keys = [[0; 32]; 2];
        let mut hasher = blake3::Hasher::new_keyed(&sealer.contents);
        let made = hasher.update(path.as_bytes());
        made.finalize_xof().fill(keys.as_flattened_mut());
        let [aead, nonces] = keys;
        let aead = UnboundKey::new(&AES_256_GCM, &aead).expect("it has 32 bytes");
        let aead = LessSafeKey::new(aead);
        Self { aead, nonces }
    }

    fn seal_segment(&self, number: u64, is_last: bool, plain: &[u8], stored: &mut Vec<u8>) {
        let nonce = self.nonce(number, is_last, plain);
        stored.extend_from_slice(&nonce);
        let start = stored.len();
        stored.extend_from_slice(plain);
        let (aad, nonce) = (
            Aad::from(number.to_le_bytes()),
            Nonce::assume_unique_for_key(nonce),
        );
        let sealed = &mut stored[start..];
        let tag = self.aead.seal_in_place_separate_tag(nonce, aad, sealed);
        let tag = tag.expect("a segment is not too long");
        stored.extend_from_slice(tag.as_ref());
    }

    fn nonce(&self, number: u64, is_last: bool, plain: &[u8]) -> [u8; NONCE_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        // The bytes first: of what begins within a chunk (1 KiB) BLAKE3 digests one chunk at a time.
        hasher.update(plain).update(&number.to_le_bytes());
        hasher.update(&[u8::from(is_last)]);
        let mut nonce = [0; NONCE_BYTES];
        hasher.finalize_xof().fill(&mut nonce);
        nonce[0] = nonce[0] & !LAST | if is_last { LAST } else { 0 };
        nonce
    }

    /// Opens segments, whose bytes come one after the other at the begin; how many there are.
    fn open_segments(&self, first: u64, bytes: &mut [u8]) -> Option<usize> {
        let all = bytes.len();
        let mut plain = 0;
        for (number, start) in (first..).zip((0..all).step_by(STORED_BYTES)) {
            let end = all.min(start + STORED_BYTES);
            let place = &mut bytes[plain..end];
            plain += self.open_segment(number, end == all, place, start - plain)?;
        }
        Some(plain)
    }

    /// Opens the segment that stands in `place` from `at` on, and moves its bytes to the begin; how many there are. Only
    /// the end of what came may be shorter than a segment, or the last one.
    fn open_segment(
        &self,
        number: u64,
        is_end: bool,
        place: &mut [u8],
        at: usize,
    ) -> Option<usize> {
        let stored = &place[at..];
        let nonce = *stored.first_chunk::<NONCE_BYTES>()?;
        let is_last = nonce[0] & LAST != 0;
        if is_last && !is_end || !is_last && stored.len() != STORED_BYTES {
            return None;
        }
        let aad = Aad::from(number.to_le_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.aead.open_within(nonce, aad, place, at + NONCE_BYTES..);
        Some(opened.ok()?.len())
    }
}

#[cfg(test)]
mod tests {
    use larder_model::sealed::plain_bytes;

    use super::super::tests::{PATH, content, sealer};
    use super::*;

    fn opened(sealer: &Sealer, path: &str, stored: &[u8]) -> Option<Vec<u8>> {
        sealer.open(path, stored).ok().map(Vec::from)
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_alone() {
        let ours = sealer(1);
        for bytes in [
            0,
            1,
            SEGMENT_BYTES - 1,
            SEGMENT_BYTES,
            SEGMENT_BYTES + 1,
            3 * SEGMENT_BYTES,
        ] {
            let plain = content(bytes);
            let stored = ours.seal(PATH, &plain);
            assert_eq!(stored.len() as u64, sealed_bytes(bytes as u64));
            assert_eq!(plain_bytes(stored.len() as u64), bytes as u64);
            assert_eq!(
                stored,
                ours.seal(PATH, &plain),
                "written again it is the same"
            );
            assert_eq!(opened(&ours, PATH, &stored), Some(plain));
            assert_eq!(opened(&ours, "v1/packs/3f/3f01", &stored), None);
            assert_eq!(opened(&sealer(2), PATH, &stored), None);
        }
    }

    #[test]
    fn what_is_flipped_cut_longer_or_in_another_order_does_not_open() {
        let ours = sealer(1);
        let stored = ours.seal(PATH, &content(2 * SEGMENT_BYTES + 9));
        for at in (0..stored.len())
            .step_by(97)
            .chain([0, 11, 12, stored.len() - 1])
        {
            let mut flipped = stored.clone();
            flipped[at] ^= 0x80;
            assert_eq!(opened(&ours, PATH, &flipped), None, "{at}");
        }
        for end in [
            0,
            1,
            27,
            STORED_BYTES - 1,
            STORED_BYTES,
            2 * STORED_BYTES,
            stored.len() - 1,
        ] {
            assert_eq!(opened(&ours, PATH, &stored[..end]), None, "{end}");
        }
        let [first, second, last] = [0, 1, 2].map(|number| {
            let end = stored.len().min((number + 1) * STORED_BYTES);
            &stored[number * STORED_BYTES..end]
        });
        for parts in [
            &[second, first, last][..],
            &[first, last],
            &[first, second, last, last],
        ] {
            assert_eq!(opened(&ours, PATH, &parts.concat()), None);
        }
        // Of a shorter object at the same path the end does not fit the longer one.
        let shorter = ours.seal(PATH, &content(SEGMENT_BYTES + 9));
        assert_eq!(
            opened(
                &ours,
                PATH,
                &[first, second, &shorter[STORED_BYTES..]].concat()
            ),
            None
        );
    }

    #[test]
    fn a_range_opens_by_its_segments() {
        let ours = sealer(1);
        let plain = content(3 * SEGMENT_BYTES + 5);
        let stored = ours.seal(PATH, &plain);
        let opened = ours
            .open_from(PATH, 1, &stored[STORED_BYTES..3 * STORED_BYTES])
            .ok();
        assert_eq!(
            opened.as_deref(),
            Some(&plain[SEGMENT_BYTES..3 * SEGMENT_BYTES])
        );
        let opened = ours.open_from(PATH, 3, &stored[3 * STORED_BYTES..]).ok();
        assert_eq!(opened.as_deref(), Some(&plain[3 * SEGMENT_BYTES..]));
        assert_eq!(
            ours.open_from(PATH, 2, &stored[STORED_BYTES..2 * STORED_BYTES])
                .ok(),
            None
        );
        assert!(has_last(&stored) && !has_last(&stored[..STORED_BYTES]) && !has_last(b""));
    }
}
