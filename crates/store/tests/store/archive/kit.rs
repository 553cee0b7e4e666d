//! Saving and reading archives in tests.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use larder_model::archive::{Archive, Measured};
use larder_model::lineage::Lineage;
use larder_model::snapshot::EngineRecord;
use larder_store::{
    ArchiveFacts, ArchiveReader, ArchiveWriter, Found, Location, Objects, StoreError,
};

/// A store in a folder of its own.
pub(crate) fn store() -> (tempfile::TempDir, Objects) {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = open(folder.path());
    (folder, objects)
}

pub(crate) fn open(folder: &Path) -> Objects {
    Location::folder(folder).open(&[]).expect("a store")
}

pub(crate) fn lineage() -> Lineage {
    Lineage {
        project: "github.com/shop/web".into(),
        compatibility: "linux-x86_64-overlay2-docker26".into(),
        scope: "main".into(),
        job: "build".into(),
    }
}

/// A time after all that these tests save.
pub(crate) const NOW: u64 = 1_767_312_000_000;

pub(crate) fn facts(created_ms: u64) -> ArchiveFacts {
    ArchiveFacts {
        lineage: lineage(),
        created_ms,
        engine: EngineRecord {
            family: "docker".into(),
            version: "26.1.5+dfsg1".into(),
            image_store: "overlay2".into(),
        },
        larder: "0.1.0".into(),
        contents: serde_json::json!({}),
        measured: Measured::default(),
        plan: None,
    }
}

/// Bytes that look random and are the same everywhere.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut out);
    out
}

/// Bytes as a stream of pieces of this size.
pub(crate) fn pieces(
    bytes: &[u8],
    piece: usize,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    let pieces: Vec<_> = bytes
        .chunks(piece)
        .map(Bytes::copy_from_slice)
        .map(Ok)
        .collect();
    futures_util::stream::iter(pieces)
}

/// Saves blobs after `parent`; those that it has under the same name are read all the same.
pub(crate) async fn save(
    objects: &Objects,
    parent: Option<&Found<Archive>>,
    blobs: &[(&str, &[u8])],
) -> Result<Found<Archive>, StoreError> {
    let created_ms = parent.map_or(1_767_225_600_000, |parent| parent.document.created_ms + 1);
    let mut writer = ArchiveWriter::new(objects.clone(), parent.cloned());
    for (name, bytes) in blobs {
        writer
            .blob(name, bytes.len() as u64, pieces(bytes, 60_000))
            .await?;
    }
    writer.finish(facts(created_ms)).await
}

/// Reads a whole blob.
pub(crate) async fn load(
    objects: &Objects,
    archive: &Found<Archive>,
    name: &str,
) -> Result<Vec<u8>, StoreError> {
    load_by(&reader(objects, archive), name).await
}

pub(crate) fn reader(objects: &Objects, archive: &Found<Archive>) -> ArchiveReader {
    ArchiveReader::new(objects.clone(), Arc::new(archive.document.clone()))
}

/// Reads a whole blob with this reader.
pub(crate) async fn load_by(reader: &ArchiveReader, name: &str) -> Result<Vec<u8>, StoreError> {
    let mut stream = reader.blob(name).expect("a blob of this name");
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}
