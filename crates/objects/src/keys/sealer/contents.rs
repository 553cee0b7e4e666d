//! Contents of objects, sealed and opened.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
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

    /// What an object holds; nothing if this is not all that was sealed for this path.
    pub(crate) fn open(&self, path: &str, stored: &[u8]) -> Option<Vec<u8>> {
        has_last(stored).then(|| self.open_from(path, 0, stored))?
    }

    /// What segments of an object hold, from this one on; nothing if they were not sealed for this place.
    pub(crate) fn open_from(&self, path: &str, first: u64, stored: &[u8]) -> Option<Vec<u8>> {
        let own = ObjectKey::of(self, path);
        let count = stored.len().div_ceil(STORED_BYTES);
        let mut plain = Vec::with_capacity(stored.len());
        for (number, segment) in (first..).zip(stored.chunks(STORED_BYTES)) {
            let is_end = number + 1 == first + count as u64;
            own.open_segment(number, is_end, segment, &mut plain)?;
        }
        Some(plain)
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
        hasher.update(&number.to_le_bytes());
        hasher.update(&[u8::from(is_last)]).update(plain);
        let mut nonce = [0; NONCE_BYTES];
        hasher.finalize_xof().fill(&mut nonce);
        nonce[0] = nonce[0] & !LAST | if is_last { LAST } else { 0 };
        nonce
    }

    /// Only the end of what came may be shorter than a segment, or the last one.
    fn open_segment(
        &self,
        number: u64,
        is_end: bool,
        stored: &[u8],
        plain: &mut Vec<u8>,
    ) -> Option<()> {
        let (nonce, sealed) = stored.split_first_chunk()?;
        let is_last = nonce[0] & LAST != 0;
        if is_last && !is_end || !is_last && stored.len() != STORED_BYTES {
            return None;
        }
        let start = plain.len();
        plain.extend_from_slice(sealed);
        let aad = Aad::from(number.to_le_bytes());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.aead.open_in_place(nonce, aad, &mut plain[start..]);
        let bytes = opened.ok()?.len();
        plain.truncate(start + bytes);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use larder_model::sealed::plain_bytes;

    use super::super::tests::{PATH, content, sealer};
    use super::*;

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
            assert_eq!(ours.open(PATH, &stored), Some(plain));
            assert_eq!(ours.open("v1/packs/3f/3f01", &stored), None);
            assert_eq!(sealer(2).open(PATH, &stored), None);
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
            assert_eq!(ours.open(PATH, &flipped), None, "{at}");
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
            assert_eq!(ours.open(PATH, &stored[..end]), None, "{end}");
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
            assert_eq!(ours.open(PATH, &parts.concat()), None);
        }
        // Of a shorter object at the same path the end does not fit the longer one.
        let shorter = ours.seal(PATH, &content(SEGMENT_BYTES + 9));
        assert_eq!(
            ours.open(PATH, &[first, second, &shorter[STORED_BYTES..]].concat()),
            None
        );
    }

    #[test]
    fn a_range_opens_by_its_segments() {
        let ours = sealer(1);
        let plain = content(3 * SEGMENT_BYTES + 5);
        let stored = ours.seal(PATH, &plain);
        let opened = ours.open_from(PATH, 1, &stored[STORED_BYTES..3 * STORED_BYTES]);
        assert_eq!(
            opened.as_deref(),
            Some(&plain[SEGMENT_BYTES..3 * SEGMENT_BYTES])
        );
        let opened = ours.open_from(PATH, 3, &stored[3 * STORED_BYTES..]);
        assert_eq!(opened.as_deref(), Some(&plain[3 * SEGMENT_BYTES..]));
        assert_eq!(
            ours.open_from(PATH, 2, &stored[STORED_BYTES..2 * STORED_BYTES]),
            None
        );
        assert!(has_last(&stored) && !has_last(&stored[..STORED_BYTES]) && !has_last(b""));
    }
}
