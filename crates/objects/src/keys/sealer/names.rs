//! Names of objects, sealed and opened.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder_model::address;
use larder_model::sealed::{TAG_BYTES, TREE};

use super::Sealer;

/// Digits of the time in front of a name.
const TIME_CHARS: usize = 16;
/// What stands behind the name of a file that is being written in a store that is a folder, with a number
/// (`object_store`'s `local.rs`, `staged_upload_path`).
const HALF: char = '#';

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
}

/// A time in front of a name, and what follows behind this byte.
fn timed(name: &str, separator: u8) -> Option<(&str, &str)> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let bytes = name.as_bytes();
    let is_timed =
        bytes.get(TIME_CHARS) == Some(&separator) && bytes[..TIME_CHARS].iter().all(is_digit);
    is_timed.then(|| (&name[..TIME_CHARS], &name[TIME_CHARS + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::sealer;

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
    }
}
