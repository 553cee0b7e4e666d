//! What is before an object in its entry: the service can only say which entry is the newest that begins with some
//! name, and an entry may be gone at any time.
//!
//! # Data format
//!
//! One line of JSON, a line feed, and the object's bytes:
//!
//! ```text
//! {"format":1,"before":["<name>", …],"bundles":[["<key>",<bytes>], …],
//!  "objects":{"<path>":[<bundle>,<offset>,<bytes>], …}}
//! ```
//!
//! `before`: the names in the same folder that were newer than all others when the entry was made, newest first.
//! `objects`: for a document, everything that it names, all the way down; each is a range of a bundle, which is objects
//! back to back.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
/// Names of earlier objects: as many as anybody tries.
pub(super) const BEFORE_MAX: usize = 16;
/// Where bundles are. No other key begins so.
pub(super) const BUNDLES: &str = "v1/bundles/";

/// The line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    format: u32,
    pub(super) before: Vec<String>,
    /// Keys, and the bytes of all that is in each.
    pub(super) bundles: Vec<(String, u64)>,
    /// By path: the number of its bundle, where in it, and how many bytes.
    pub(super) objects: BTreeMap<String, (usize, u64, u64)>,
}

impl Header {
    pub(super) fn encode(mut self, content: &[u8]) -> Bytes {
        self.format = FORMAT;
        let line = serde_json::to_vec(&self).expect("names and numbers are JSON");
        let mut bytes = BytesMut::from(&*line);
        bytes.extend_from_slice(b"\n");
        bytes.extend_from_slice(content);
        bytes.freeze()
    }

    /// The line and the object; nothing if it is none of ours, or contradicts itself.
    pub(super) fn decode(
        root: &str,
        is_content: impl Fn(&str) -> bool,
        bytes: &Bytes,
    ) -> Option<(Self, Bytes)> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let header: Self = serde_json::from_slice(&bytes[..end]).ok()?;
        let bundles = header.bundles.iter();
        let are_bundles = bundles.clone().all(|(key, _)| {
            key.strip_prefix(root)
                .is_some_and(|key| key.starts_with(BUNDLES))
        });
        let are_there = header
            .objects
            .iter()
            .all(|(path, (bundle, offset, bytes))| {
                let end = offset.checked_add(*bytes);
                let held = header.bundles.get(*bundle).map(|(_, held)| *held);
                is_content(path) && end.is_some() && end <= held
            });
        let is_ours = header.format == FORMAT && header.before.len() <= BEFORE_MAX;
        (is_ours && are_bundles && are_there).then(|| (header, bytes.slice(end + 1..)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "shop/";

    fn decoded(bytes: &Bytes) -> Option<(Header, Bytes)> {
        Header::decode(ROOT, |path| path.starts_with("v1/maps/"), bytes)
    }

    fn header() -> Header {
        let path = "v1/maps/1".to_owned();
        Header {
            format: FORMAT,
            before: vec!["a".into(), "b".into()],
            bundles: vec![(format!("{ROOT}{BUNDLES}1~2"), 10)],
            objects: [(path, (0, 4, 6))].into(),
        }
    }

    #[test]
    fn an_entry_reads_back() {
        let bytes = header().encode(b"line\nand line");
        let line = "{\"format\":1,\"before\":[\"a\",\"b\"],\"bundles\":[[\"shop/v1/bundles/1~2\",10]],\"objects\":{\"v1/maps/";
        assert!(bytes.starts_with(line.as_bytes()), "{bytes:?}");
        let (read, content) = decoded(&bytes).expect("it is whole");
        assert_eq!((read, &*content), (header(), &b"line\nand line"[..]));
    }

    #[test]
    fn one_that_contradicts_itself_is_none() {
        let spoilt = |spoil: fn(&mut Header)| {
            let mut header = header();
            spoil(&mut header);
            decoded(&header.encode(b"x")).is_none()
        };
        let first = |header: &mut Header| header.objects.pop_first().expect("one");
        assert!(!spoilt(|_| {}));
        assert!(spoilt(|header| header.bundles[0].1 = 9));
        assert!(spoilt(
            |header| header.bundles[0].0 = "shop/v1/snapshots/x".into()
        ));
        assert!(spoilt(|header| header.bundles.clear()));
        assert!(spoilt(
            |header| header.before = vec![String::new(); BEFORE_MAX + 1]
        ));
        let mut header = header();
        let (_, place) = first(&mut header);
        header.objects.insert("v1/snapshots/x".into(), place);
        assert!(decoded(&header.encode(b"x")).is_none());
        for other in [&b""[..], b"x", b"{}\nx", b"\n"] {
            assert!(decoded(&Bytes::from(other)).is_none());
        }
    }
}
