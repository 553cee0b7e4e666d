//! Volumes whose content does not compress, saved block by block.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use larder_model::document::Document as _;
use larder_model::snapshot::{EngineRecord, Snapshot};
use larder_store::packer::{self, Changed, Job};
use larder_store::{Objects, Source, catalog};

use crate::kit::{Random, VOLUME_BYTES, lineage};

/// The blocks of a volume with their versions.
pub(crate) type Volume = BTreeMap<u64, u64>;

/// Content that does not compress, of a version of a block.
fn content(block: u64, version: u64, buffer: &mut [u8]) {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&block.to_le_bytes())
        .update(&version.to_le_bytes());
    hasher.finalize_xof().fill(buffer);
}

pub(crate) async fn head(objects: &Objects, scope: &str) -> Option<Snapshot> {
    let lineage = lineage(scope, "build");
    let head = catalog::head::<Snapshot>(objects, &lineage, u64::MAX / 2).await;
    let head = head.expect("listed")?;
    let found = catalog::read(objects, &head).await.expect("it is whole");
    Some(found.document)
}

pub(crate) async fn source(objects: &Objects, of: Option<&Snapshot>) -> Source {
    let source = match of {
        Some(parent) => Source::open(objects.clone(), parent.map, parent.hot).await,
        None => Source::empty(objects.clone(), VOLUME_BYTES),
    };
    source.expect("it opens")
}

/// A job that starts from the head of a scope, and saves in another or the same one.
pub(crate) async fn job(
    objects: &Objects,
    (from, to): (&str, &str),
    volume: &Volume,
    written: &[u64],
    is_near: bool,
) {
    let parent = head(objects, from).await;
    let source = source(objects, parent.as_ref()).await.into();
    let mut job = Job {
        changed: Changed {
            written: written.to_vec(),
            ..Changed::default()
        },
        is_near,
        ..Job::default()
    };
    let every = if is_near { 3 } else { 10 };
    job.reads.blocks = volume.keys().step_by(every).copied().collect();
    let versions = volume.clone();
    let read = move |block: u64, buffer: &mut [u8]| {
        content(block, versions[&block], buffer);
        Ok(())
    };
    let packed = packer::pack(&source, job, read, Arc::default()).await;
    let packed = packed.expect("packed");
    let snapshot = Snapshot {
        hot: packed.hot,
        ..Snapshot::first(
            lineage(to, "build"),
            parent.map_or(1, |parent| parent.created_ms() + 1),
            packed.map,
            VOLUME_BYTES,
            EngineRecord::docker("26.1.5", "overlay2"),
        )
    };
    catalog::publish(objects, &snapshot)
        .await
        .expect("published");
}

pub(crate) async fn check(objects: &Objects, snapshot: &Snapshot, volume: &Volume) {
    let source = source(objects, Some(snapshot)).await;
    for (block, version) in volume {
        let fetched = source.fetch(*block).await.expect("it is there");
        let found = fetched.iter().find(|one| one.block == *block);
        let mut expected = vec![0; found.expect("the block").content.len()];
        content(*block, *version, &mut expected);
        assert!(found.is_some_and(|one| one.content == expected), "{block}");
    }
}

/// Bytes and files.
pub(crate) fn size(folder: &Path) -> (u64, usize) {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.fold((0, 0), |(bytes, files), entry| {
        let path = entry.expect("an entry").path();
        let meta = fs::metadata(&path).expect("there");
        let (more, count) = if meta.is_dir() {
            size(&path)
        } else {
            (meta.len(), 1)
        };
        (bytes + more, files + count)
    })
}

/// A whole volume of so many blocks, at its beginning.
pub(crate) fn first(blocks: u64) -> (Volume, Vec<u64>) {
    let all = 0..blocks;
    (all.clone().map(|block| (block, 0)).collect(), all.collect())
}

/// A job rewrites one block in 13 of a volume: scattered, so that every pack loses some.
pub(crate) fn step(volume: &mut Volume, random: &mut Random) -> Vec<u64> {
    let blocks = volume.len() as u64;
    let changed = (0..blocks / 13).map(|_| random.below(blocks));
    let mut written: Vec<u64> = changed.collect();
    written.sort_unstable();
    written.dedup();
    for block in &written {
        *volume.entry(*block).or_default() += 1;
    }
    written
}
