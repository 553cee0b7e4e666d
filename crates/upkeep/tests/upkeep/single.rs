//! A store that a CI system saves and restores as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use larder_local::people::{Progress, Voice};
use larder_model::document::Document as _;
use larder_model::snapshot::{EngineRecord, FORMAT, Snapshot, Statistics};
use larder_store::packer::{self, Changed, Job};
use larder_store::{Access, Keys, Location, Objects, Source, catalog};
use larder_upkeep::gc;
use parking_lot::Mutex;

use crate::kit::{Random, VOLUME_BYTES, lineage};

const BLOCKS: u64 = 512;
/// Blocks that a job rewrites: scattered, so that every pack loses some.
const CHANGED: u64 = 40;
const JOBS: u64 = 10;

/// What was warned of.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Voice for Heard {
    fn note(&self, _: &str) {}
    fn warning(&self, text: &str) {
        self.0.lock().push(text.to_owned());
    }
    fn progress(&self, _: Progress) {}
}

fn open(folder: &Path) -> Objects {
    let access = Access::new(Location::folder(folder), Vec::new(), Keys::default());
    access.single().open().expect("a store")
}

/// Content that does not compress, of a version of a block.
fn content(block: u64, version: u64, buffer: &mut [u8]) {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&block.to_le_bytes())
        .update(&version.to_le_bytes());
    hasher.finalize_xof().fill(buffer);
}

/// The blocks of a volume with their versions.
type Volume = BTreeMap<u64, u64>;

async fn head(objects: &Objects, scope: &str) -> Option<Snapshot> {
    let lineage = lineage(scope, "build");
    let head = catalog::head::<Snapshot>(objects, &lineage, u64::MAX / 2).await;
    let head = head.expect("listed")?;
    let found = catalog::read(objects, &head).await.expect("it is whole");
    Some(found.document)
}

async fn source(objects: &Objects, of: Option<&Snapshot>) -> Source {
    let source = match of {
        Some(parent) => Source::open(objects.clone(), parent.map, parent.hot).await,
        None => Source::empty(objects.clone(), VOLUME_BYTES),
    };
    source.expect("it opens")
}

/// A job that starts from the head of a scope, and saves in another or the same one.
async fn job(folder: &Path, from: &str, to: &str, volume: &Volume, written: &[u64]) -> Heard {
    let (heard, objects) = (Heard::default(), open(folder));
    let parent = head(&objects, from).await;
    let source = source(&objects, parent.as_ref()).await.into();
    let mut job = Job {
        changed: Changed {
            written: written.to_vec(),
            ..Changed::default()
        },
        is_near: true,
        ..Job::default()
    };
    job.reads.blocks = volume.keys().step_by(3).copied().collect();
    let versions = volume.clone();
    let read = move |block: u64, buffer: &mut [u8]| {
        content(block, versions[&block], buffer);
        Ok(())
    };
    let packed = packer::pack(&source, job, read, Arc::default()).await;
    let packed = packed.expect("packed");
    let snapshot = Snapshot {
        format: FORMAT,
        lineage: lineage(to, "build"),
        created_ms: parent.map_or(1, |parent| parent.created_ms() + 1),
        parent: None,
        sibling: false,
        map: packed.map,
        volume_bytes: VOLUME_BYTES,
        hot: packed.hot,
        engine: EngineRecord::docker("26.1.5", "overlay2"),
        larder: "0".into(),
        statistics: Statistics::default(),
        cold_build_ms: None,
        figures: None,
        past: Vec::new(),
        plan: None,
    };
    catalog::publish(&objects, &snapshot)
        .await
        .expect("published");
    gc::leave_newest(&objects, &heard).await;
    heard
}

async fn check(folder: &Path, scope: &str, volume: &Volume) {
    let objects = open(folder);
    let snapshot = head(&objects, scope).await.expect("a snapshot");
    let source = source(&objects, Some(&snapshot)).await;
    for (block, version) in volume {
        let fetched = source.fetch(*block).await.expect("it is there");
        let found = fetched.iter().find(|one| one.block == *block);
        let mut expected = vec![0; found.expect("the block").content.len()];
        content(*block, *version, &mut expected);
        assert!(found.is_some_and(|one| one.content == expected), "{block}");
    }
}

/// Bytes and files.
fn size(folder: &Path) -> (u64, usize) {
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

fn step(volume: &mut Volume, random: &mut Random) -> Vec<u64> {
    let mut written: Vec<u64> = (0..CHANGED).map(|_| random.below(BLOCKS)).collect();
    written.sort_unstable();
    written.dedup();
    for block in &written {
        *volume.entry(*block).or_default() += 1;
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_what_the_newest_snapshots_need_and_little_else() {
    let [folder, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let mut random = Random::new(7);
    let mut volume: Volume = (0..BLOCKS).map(|block| (block, 0)).collect();
    let all: Vec<u64> = volume.keys().copied().collect();
    job(folder.path(), "main", "main", &volume, &all).await;
    for _ in 1..JOBS {
        let written = step(&mut volume, &mut random);
        let heard = job(folder.path(), "main", "main", &volume, &written).await;
        assert_eq!(*heard.0.lock(), Vec::<String>::new());
    }
    check(folder.path(), "main", &volume).await;
    job(fresh.path(), "main", "main", &volume, &all).await;
    let ((bytes, files), (full, _)) = (size(folder.path()), size(fresh.path()));
    assert!(
        bytes * 10 <= full * 13,
        "{bytes} bytes, and {full} are needed"
    );
    assert!(files < 24, "{files} files");

    // Another lineage stays beside it, and both read back.
    let before = volume.clone();
    let written = step(&mut volume, &mut random);
    job(folder.path(), "main", "pull/7", &volume, &written).await;
    check(folder.path(), "main", &before).await;
    check(folder.path(), "pull/7", &volume).await;

    // Beside somebody who uses it nothing goes.
    let user = open(folder.path());
    let written = step(&mut volume, &mut random);
    let heard = job(folder.path(), "pull/7", "pull/7", &volume, &written).await;
    let heard = heard.0.into_inner();
    assert!(heard[0].contains("another job uses it"), "{heard:?}");
    drop(user);
    check(folder.path(), "main", &before).await;
}
