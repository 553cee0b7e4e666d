//! What is asked of any bytes, by the fuzzer and by the tests that replay its corpus: as an object of a store they are
//! refused, or mean something that can be written again.

use larder_model::archive::Archive;
use larder_model::digest::{ArchiveId, SnapshotId};
use larder_model::document::Document;
use larder_model::garbage::Garbage;
use larder_model::hot::HotList;
use larder_model::identity::InheritedConfig;
use larder_model::map::{Leaf, MapRoot};
use larder_model::mark::Strike;
use larder_model::oci::{Descriptor, Digest, RootFs};
use larder_model::reference::ImageReference;
use larder_model::sealed::Ring;
use larder_model::snapshot::Snapshot;
use larder_model::{address, images, pack, signature};

/// Blocks of the volume that a hot list is for.
const BLOCKS: u64 = 1 << 20;

/// Fails if an object that is not JSON is not treated as it should be. The bytes are tried as each kind: they begin
/// differently.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(root) = MapRoot::decode(bytes) {
        assert_eq!(root.encode().1, bytes);
    }
    if let Ok(leaf) = Leaf::decode(bytes) {
        let again = Leaf::decode(&leaf.encode().1).expect("it was encoded just now");
        assert!(leaf.blocks().eq(again.blocks()));
    }
    if let Ok(list) = HotList::decode(bytes, BLOCKS) {
        let again = HotList::decode(&list.encode().1, BLOCKS);
        assert_eq!(again.as_ref(), Ok(&list));
    }
    if let Ok(list) = images::decode(bytes) {
        assert_eq!(images::decode(&images::encode(&list).1), Ok(list));
    }
    if let Ok(list) = Garbage::decode(bytes) {
        assert!(list.iter().all(|brief| list.names(brief)));
    }
    if let Ok(ring) = Ring::decode(bytes) {
        assert_eq!(ring.encode(), bytes);
    }
    if let Ok(frames) = pack::read_index(bytes) {
        let ends = frames
            .iter()
            .map(|frame| u64::from(frame.offset) + u64::from(frame.stored_bytes));
        assert!(ends.max().unwrap_or(0) <= bytes.len() as u64);
    }
}

/// The same of documents, of what they are signed with, and of names.
pub(crate) fn check_text(bytes: &[u8]) {
    check_document::<Snapshot>(SnapshotId::of(bytes), bytes);
    check_document::<Archive>(ArchiveId::of(bytes), bytes);
    for object in ["snapshot", "archive", "mark"] {
        if let Some((_, signature)) = signature::split(object, bytes) {
            let unsigned = [&bytes[..bytes.len() - SIGNATURE_BYTES], b"}\n"].concat();
            assert_eq!(signature::sign(&unsigned, &signature), bytes);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _strike = Strike::parse(text);
    let _id = address::parse_images(text);
    if let Some(place) = address::Place::parse(text) {
        assert!(text.starts_with(place.lineage) && text.contains(place.id));
    }
    let brief = address::parse_content(text);
    assert!(brief.is_none() || text.starts_with("v1/"));
}

/// `,"signature":"ed25519:`, 64 digits, `:`, 128 digits, `"}` and a line feed.
const SIGNATURE_BYTES: usize = 22 + 64 + 1 + 128 + 3;

fn check_document<D: Document>(id: D::Id, bytes: &[u8]) {
    if let Ok(document) = D::decode(id, bytes) {
        let (id, again) = document.encode();
        let again = D::decode(id, &again).expect("it was encoded just now");
        assert_eq!(again.encode().1, document.encode().1);
    }
}

/// The same for what a registry answers, and for what names an image.
pub(crate) fn check_answer(bytes: &[u8]) {
    let _descriptor = serde_json::from_slice::<Descriptor>(bytes).map(|it| it.digest());
    let _layers = serde_json::from_slice::<RootFs>(bytes);
    let _config = serde_json::from_slice::<InheritedConfig>(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(reference) = ImageReference::parse(text) {
        let shown = reference.to_string();
        assert_eq!(ImageReference::parse(&shown), Ok(reference));
    }
}
