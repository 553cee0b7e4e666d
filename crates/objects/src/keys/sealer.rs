//! Sealing: what is stored of an object of a sealed store, and under which name. The bytes are in
//! [`larder_model::sealed`].
//!
//! **Contents.** Every path has keys of its own, made of the data key and the path: what was sealed for one place opens
//! in no other. A segment's nonce is the keyed digest of its number, of whether it is the last one, and of its bytes.
//! So two segments of a path have the same nonce only if they are the same segment with the same bytes (or by a chance
//! of 2⁻⁹⁵ for each pair), whoever writes it, how often, and whatever is written there: there is no counter to keep and
//! no state to lose. And equal bytes are sealed to equal bytes, so an object that is written again does not change.
//!
//! **Names.** Each part of a path behind its kind (`packs`, `snapshots`, …) is encrypted: the keyed digest of the part, the
//! kind and how deep it stands is its tag, and what the tag is expanded to, with another key, is added to the part (SIV,
//! P. Rogaway and T. Shrimpton, "Deterministic Authenticated-Encryption", with BLAKE3 for both). So a name tells nothing
//! but its length, and where the same one stands again, to whoever lacks the key; one path has one name, and a listing can
//! be read back. The time in front of a document's name stays, for names to sort. A name does not depend on the folders
//! around it, so that a rule for a bucket can name a scope whatever the engine is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder_model::address;
use larder_model::sealed::{
    EXTRA_BYTES, LAST, NONCE_BYTES, SEGMENT_BYTES, STORED_BYTES, TAG_BYTES, TREE, sealed_bytes,
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{KeyError, random};

const FOR_CONTENTS: &str = "larder 2026 sealed store: contents";
const FOR_NAMES: &str = "larder 2026 sealed store: tags of names";
const FOR_STREAMS: &str = "larder 2026 sealed store: names";

/// Digits of the time in front of a name.
const TIME_CHARS: usize = 16;
/// What stands behind the name of a file that is being written in a store that is a folder, with a number
/// (`object_store`'s `local.rs`, `staged_upload_path`).
const HALF: char = '#';

/// What all objects of a store are sealed with.
pub(crate) struct DataKey([u8; 32]);

impl DataKey {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn generate() -> Result<Self, KeyError> {
        random().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Seals and opens the objects of one store.
pub(crate) struct Sealer {
    contents: [u8; 32],
    names: [u8; 32],
    streams: [u8; 32],
}

/// Which part of a path a name is.
#[derive(Clone, Copy)]
enum Part {
    Folder = 0,
    Object = 1,
}

/// Where a name stands.
struct Place<'a> {
    part: Part,
    /// `packs`, `snapshots`, …
    kind: &'a str,
    /// How many folders are between.
    depth: u8,
}

impl<'a> Place<'a> {
    /// Where no object is.
    const NOWHERE: Self = Place {
        part: Part::Object,
        kind: "",
        depth: 0,
    };

    /// The place of what is in a folder; nothing of the tree's own folder, whose folders are the kinds.
    fn in_folder(part: Part, folder: &'a str) -> Option<Self> {
        let below = folder.strip_prefix(address::FORMAT)?.strip_prefix('/')?;
        let kind = below.split('/').next()?;
        let depth = below.split('/').count() - 1;
        let depth = u8::try_from(depth).ok()?;
        Some(Self { part, kind, depth })
    }
}

impl Sealer {
    pub(crate) fn new(data: &DataKey) -> Self {
        let key = |purpose| blake3::derive_key(purpose, data.bytes());
        Self {
            contents: key(FOR_CONTENTS),
            names: key(FOR_NAMES),
            streams: key(FOR_STREAMS),
        }
    }

    /// Where a folder is.
    pub(crate) fn folder(&self, path: &str) -> String {
        let Some((parent, name)) = path.rsplit_once('/') else {
            return TREE.to_owned();
        };
        let name = match Place::in_folder(Part::Folder, parent) {
            None => name.to_owned(),
            Some(place) => self.seal_name(&place, "", name),
        };
        format!("{}/{name}", self.folder(parent))
    }

    /// Where an object is, or a file that is being written for one.
    pub(crate) fn object(&self, path: &str) -> String {
        if let Some((path, number)) = path.split_once(HALF) {
            return format!("{}{HALF}{number}", self.object(path));
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let place = Place::in_folder(Part::Object, folder).unwrap_or(Place::NOWHERE);
        let sealed = match timed(name, b'-') {
            None => self.seal_name(&place, "", name),
            Some((time, rest)) => format!("{time}.{}", self.seal_name(&place, time, rest)),
        };
        format!("{}/{sealed}", self.folder(folder))
    }

    /// The name of a folder in a folder; nothing if it was not made with this key.
    pub(crate) fn open_folder(&self, parent: &str, stored: &str) -> Option<String> {
        match Place::in_folder(Part::Folder, parent) {
            None => Some(stored.to_owned()),
            Some(place) => self.open_name(&place, "", stored),
        }
    }

    /// The name of an object in a folder; nothing if it was not made with this key.
    pub(crate) fn open_object(&self, folder: &str, stored: &str) -> Option<String> {
        let place = Place::in_folder(Part::Object, folder)?;
        let Some((time, sealed)) = timed(stored, b'.') else {
            return self.open_name(&place, "", stored);
        };
        let rest = self.open_name(&place, time, sealed)?;
        Some(format!("{time}-{rest}"))
    }

    /// The path of an object anywhere in the store; nothing if it was not made with this key.
    pub(crate) fn open_path(&self, stored: &str) -> Option<String> {
        if let Some((stored, number)) = stored.split_once(HALF) {
            return Some(format!("{}{HALF}{number}", self.open_path(stored)?));
        }
        let below = stored.strip_prefix(TREE)?.strip_prefix('/')?;
        let (folders, name) = below.rsplit_once('/')?;
        let mut path = address::FORMAT.to_owned();
        for folder in folders.split('/') {
            path = format!("{path}/{}", self.open_folder(&path, folder)?);
        }
        let name = self.open_object(&path, name)?;
        Some(format!("{path}/{name}"))
    }

    /// Seals a name, or what follows a time in it.
    fn seal_name(&self, place: &Place<'_>, time: &str, name: &str) -> String {
        let tag = self.tag(place, time, name.as_bytes());
        let mut sealed = [&tag, name.as_bytes()].concat();
        self.add_stream(tag, &mut sealed[TAG_BYTES..]);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    fn open_name(&self, place: &Place<'_>, time: &str, sealed: &str) -> Option<String> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (tag, name) = bytes.split_first_chunk_mut()?;
        self.add_stream(*tag, name);
        let is_ours = self.tag(place, time, name) == *tag;
        let name = is_ours.then(|| String::from_utf8(name.to_vec()));
        name?.ok()
    }

    fn tag(&self, place: &Place<'_>, time: &str, name: &[u8]) -> [u8; TAG_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.names);
        let Place { part, kind, depth } = place;
        hasher
            .update(&[*part as u8, *depth])
            .update(kind.as_bytes());
        hasher.update(b"/").update(time.as_bytes());
        hasher.update(b"/").update(name);
        let mut tag = [0; TAG_BYTES];
        hasher.finalize_xof().fill(&mut tag);
        tag
    }

    fn add_stream(&self, tag: [u8; TAG_BYTES], name: &mut [u8]) {
        let mut stream = vec![0; name.len()];
        let mut hasher = blake3::Hasher::new_keyed(&self.streams);
        hasher.update(&tag).finalize_xof().fill(&mut stream);
        for (byte, mask) in name.iter_mut().zip(stream) {
            *byte ^= mask;
        }
    }

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

/// A time in front of a name, and what follows behind this byte.
fn timed(name: &str, separator: u8) -> Option<(&str, &str)> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let bytes = name.as_bytes();
    let is_timed =
        bytes.get(TIME_CHARS) == Some(&separator) && bytes[..TIME_CHARS].iter().all(is_digit);
    is_timed.then(|| (&name[..TIME_CHARS], &name[TIME_CHARS + 1..]))
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
    use proptest::prelude::*;

    use super::*;

    const PATH: &str = "v1/packs/3f/3f00";

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&DataKey::new([byte; 32]))
    }

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / 251 + at) as u8).collect()
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

    #[test]
    fn the_bytes_of_a_sealed_object_stay() {
        let ours = sealer(1);
        let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..16].to_owned();
        assert_eq!(
            digest(&ours.seal(PATH, &content(20_000))),
            "e576374e85cab066"
        );
        assert_eq!(
            ours.object(PATH),
            "v1-sealed/packs/K5o5KZd26nyMolZIB9TixsMs/BBqMc1_I79o9dm3ixbQMUX7MPOU"
        );
        assert_eq!(
            ours.object("v1/sweeps/ffffffffffffffff-ab.done"),
            "v1-sealed/sweeps/ffffffffffffffff.xPnI07txHMRsKVr_1JOhXQ_O8i3iDeU"
        );
        assert_eq!(
            ours.folder("v1/packs/3f"),
            "v1-sealed/packs/K5o5KZd26nyMolZIB9TixsMs"
        );
    }

    #[test]
    fn names_tell_nothing_and_sort_by_time() {
        let ours = sealer(1);
        let path = "v1/snapshots/shop=2fweb/c/branch=2fmain/build/fffffe64892557ff-3f.json";
        let stored = ours.object(path);
        assert_eq!(ours.open_path(&stored).as_deref(), Some(path));
        let half = format!("{path}#7");
        assert_eq!(ours.object(&half), format!("{stored}#7"));
        assert_eq!(ours.open_path(&format!("{stored}#7")), Some(half));
        assert!(
            stored.starts_with("v1-sealed/snapshots/") && stored.contains("/fffffe64892557ff.")
        );
        for part in ["shop", "main", "build", "3f.json", "json"] {
            assert!(!stored.contains(part), "{stored}");
        }
        assert_eq!(sealer(2).open_path(&stored), None);
        let scope = "v1/snapshots/shop=2fweb/c/branch=2fmain";
        let (folder, job) = ours
            .folder(&format!("{scope}/build"))
            .rsplit_once('/')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("a path");
        assert_eq!(folder, ours.folder(scope));
        assert_eq!(ours.open_folder(scope, &job).as_deref(), Some("build"));
        // A name has another seal at another depth, of another kind, and as an object.
        let elsewhere = [
            "v1/snapshots/shop=2fweb/c",
            "v1/archives/shop=2fweb/c/branch=2fmain",
        ];
        assert_eq!(
            elsewhere.map(|folder| ours.open_folder(folder, &job)),
            [None, None]
        );
        assert_eq!(ours.open_object(scope, &job), None);
        let other = ours.folder("v1/snapshots/shop=2fweb/d/branch=2fmain/build");
        assert!(other.ends_with(&job), "whatever the engine is");
        for other in [
            "",
            "x",
            "v1-sealed",
            "v1-sealed/keys",
            "v1/packs/3f/3f",
            &stored[..stored.len() - 1],
        ] {
            assert_eq!(ours.open_path(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_path_leads_back(parts in proptest::collection::vec("[a-z0-9.=_-]{1,130}", 1..6), timed in any::<bool>()) {
            let time = if timed { "0123456789abcdef-" } else { "" };
            let (folders, name) = parts.split_at(parts.len() - 1);
            let path = format!("v1/packs/{}/{time}{}", folders.join("/"), name[0]).replace("//", "/");
            let stored = sealer(1).object(&path);
            prop_assert_eq!(sealer(1).open_path(&stored), Some(path));
        }

        #[test]
        fn no_bytes_are_a_reason_to_panic(stored in proptest::collection::vec(any::<u8>(), 0..100), text in ".{0,60}") {
            prop_assert_eq!(sealer(1).open(PATH, &stored), None);
            sealer(1).open_path(&format!("v1-sealed/packs/{text}"));
        }
    }
}
