//! What somebody can do who may write to a store, and what comes of it: each attack a row.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_model::address::{self, Kind};
use larder_model::clock::AHEAD_MAX_MS;
use larder_model::digest::{PackId, SnapshotId};
use larder_model::document::Document as _;
use larder_model::ladder::ladder;
use larder_model::mark::Fault;
use larder_model::snapshot::{EngineRecord, Snapshot};
use larder_store::catalog::{Refusal, Walk, Walked};
use larder_store::packer::{Changed, Job};
use larder_store::{Objects, Source, StoreError, catalog, packer};

use super::archive::kit;
use super::catalogue::{NOW, is_marked, lineage, reader, snapshot, store};

const HOUR: u64 = 3600 * 1000;

/// What a job of `main` starts from: when it was made.
async fn starts_from(objects: &Objects) -> Walked<u64> {
    let (reader, ladder) = (
        reader("here", "main"),
        ladder(&lineage("main", "build"), &[]),
    );
    let walk = Walk::<Snapshot>::new(objects, ladder, &reader);
    let rule = async |found: catalog::Found| match &*found.document.engine.version {
        "26.1.5" => Ok(found.document.created_ms),
        newer => Err(Refusal::Unfit(format!("engine {newer} is newer"))),
    };
    walk.first(rule).await
}

/// Writes bytes where a document of `main` with this time and id would be.
fn place(folder: &Path, at: u64, id: SnapshotId, bytes: &[u8]) {
    let path = address::document(Kind::Snapshot, &lineage("main", "build"), at, id);
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("written");
}

/// One honest snapshot of `main`, made an hour ago, and what an attack adds to it: the job starts from
/// the honest one, and is told of the other in one line. Whether that one is marked.
async fn attacked(
    name: &str,
    attack: impl AsyncFnOnce(&Path, &Objects) -> SnapshotId,
    said: &str,
) -> bool {
    let (folder, objects) = store();
    let honest = snapshot(lineage("main", "build"), NOW - HOUR);
    catalog::publish(&objects, &honest).await.expect(name);
    let id = attack(folder.path(), &objects).await;
    let walked = starts_from(&objects).await;
    let told = walked.told("snapshot");
    assert_eq!(walked.outcome.expect(name), Some(NOW - HOUR), "{name}");
    assert_eq!(told.len(), 1, "{name}: {told:?}");
    assert!(told[0].contains(said), "{name}: {told:?}");
    is_marked(&objects, id).await
}

#[tokio::test]
async fn a_document_is_what_its_path_says() {
    let moved = async |folder: &Path, objects: &Objects| {
        let pull = snapshot(lineage("pull/7", "build"), NOW - 1);
        let id = catalog::publish(objects, &pull).await.expect("published");
        place(folder, NOW - 1, id, &pull.encode().1);
        id
    };
    let marked = attacked("another lineage's", moved, "contradicts itself").await;
    assert!(!marked, "the mark would hide it from its own jobs");

    // The honest one itself stays reachable under its own name.
    let renamed = async |folder: &Path, _: &Objects| {
        let (id, bytes) = snapshot(lineage("main", "build"), NOW - HOUR).encode();
        place(folder, NOW - 1, id, &bytes);
        id
    };
    assert!(!attacked("an old one, as new", renamed, "contradicts itself").await);

    let future = async |_: &Path, objects: &Objects| {
        let ahead = snapshot(lineage("main", "build"), NOW + AHEAD_MAX_MS + 1);
        catalog::publish(objects, &ahead).await.expect("published")
    };
    assert!(!attacked("from the future", future, "36 hours from now").await);

    let other_bytes = async |folder: &Path, _: &Objects| {
        let (id, _) = snapshot(lineage("main", "build"), NOW - 1).encode();
        let evil = snapshot(lineage("main", "evil"), NOW - 1).encode().1;
        place(folder, NOW - 1, id, &evil);
        id
    };
    assert!(attacked("other bytes", other_bytes, "damaged").await);

    let cut = async |folder: &Path, _: &Objects| {
        let (id, bytes) = snapshot(lineage("main", "build"), NOW - 1).encode();
        place(folder, NOW - 1, id, &bytes[..bytes.len() / 2]);
        id
    };
    assert!(attacked("cut short", cut, "damaged").await);

    let huge = async |folder: &Path, _: &Objects| {
        let id = SnapshotId::of(b"huge");
        place(folder, NOW - 1, id, b"{");
        let path = address::document(Kind::Snapshot, &lineage("main", "build"), NOW - 1, id);
        let file = fs::File::options().write(true).open(folder.join(path));
        file.expect("there").set_len(1 << 40).expect("sparse");
        id
    };
    assert!(attacked("a terabyte", huge, "are allowed").await);
}

#[tokio::test]
async fn a_head_from_the_future_is_used_where_there_is_no_other_and_its_line_goes_on() {
    let (_folder, objects) = store();
    let years = NOW + 26_280 * HOUR;
    for at in [years, years + 1] {
        let ahead = snapshot(lineage("main", "build"), at);
        catalog::publish(&objects, &ahead).await.expect("published");
    }
    let walked = starts_from(&objects).await;
    assert_eq!(walked.told("snapshot").len(), 1);
    assert_eq!(walked.outcome.expect("a listing"), Some(years + 1));
    let head = catalog::head::<Snapshot>(&objects, &lineage("main", "build"), NOW).await;
    let head = head.expect("a listing").expect("a head");
    assert_eq!(head.created_ms, years + 1);
}

#[tokio::test]
async fn neither_newer_engines_nor_a_flood_of_names_hide_what_can_be_used() {
    let (folder, objects) = store();
    let usable = snapshot(lineage("main", "build"), NOW - HOUR);
    catalog::publish(&objects, &usable)
        .await
        .expect("published");
    for at in 1..=30 {
        let newer = Snapshot {
            engine: EngineRecord::docker("26.1.6", "overlay2"),
            ..snapshot(lineage("main", "build"), NOW - at)
        };
        catalog::publish(&objects, &newer).await.expect("published");
    }
    // Copies from elsewhere, and names of nothing, from the future.
    for at in 0..20 {
        let (id, bytes) = snapshot(lineage("pull/7", "build"), at).encode();
        place(folder.path(), NOW - at, id, &bytes);
    }
    for at in 0..150 {
        let at = NOW + AHEAD_MAX_MS + 1 + at;
        place(folder.path(), at, SnapshotId::of(&at.to_le_bytes()), b"");
    }
    let walked = starts_from(&objects).await;
    let told = walked.told("snapshot");
    assert_eq!(walked.outcome.expect("a listing"), Some(NOW - HOUR));
    assert!(told.len() < 12, "{told:?}");
    let newer = told.iter().find(|told| told.starts_with("30 snapshots"));
    assert!(
        newer.is_some_and(|told| told.contains("26.1.6")),
        "{told:?}"
    );
}

/// The file of an object.
fn object(folder: &Path, below: &str) -> std::path::PathBuf {
    let mut path = folder.join(below);
    while path.is_dir() {
        let mut entries = fs::read_dir(&path).expect("listed");
        path = entries.next().expect("something").expect("an entry").path();
    }
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_a_name_and_is_not_it_is_replaced() {
    let (folder, objects) = store();
    let content = kit::noise(7, 100_000);
    let path = address::pack(PackId::of(&content));
    let file = folder.path().join(&path);
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    for (name, rubbish) in [
        ("of another size", b"rubbish".to_vec()),
        ("of its size", kit::noise(8, 100_000)),
        ("empty", Vec::new()),
        ("longer", kit::noise(7, 100_001)),
        ("itself", content.clone()),
    ] {
        fs::write(&file, rubbish).expect("written");
        objects.put(&path, content.clone()).await.expect(name);
        assert!(fs::read(&file).expect(name) == content, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_of_an_archive_is_mended_by_the_next_save() {
    let (folder, objects) = store();
    let layer = kit::noise(1, 500_000);
    let first = kit::save(&objects, None, &[("layer", &layer)]).await;
    let first = first.expect("saved");
    let pack = object(folder.path(), "v1/packs");
    let mut bytes = fs::read(&pack).expect("a pack");
    bytes[1000] ^= 1;
    fs::write(&pack, bytes).expect("damaged");
    let damaged = kit::load(&objects, &first, "layer").await;
    assert!(damaged.expect_err("damaged").is_damage());
    let reader = reader("here", "main");
    reader
        .mark(&objects, first.id, Fault::Damage, "damaged")
        .await;
    // The next save starts from nothing, makes the same pack, and finds what is there.
    let again = kit::save(&objects, None, &[("layer", &layer), ("x", b"y")]).await;
    let again = again.expect("saved");
    for archive in [&again, &first] {
        let loaded = kit::load(&objects, archive, "layer").await;
        assert!(loaded.expect("mended") == layer);
    }
}

#[tokio::test]
async fn a_walk_says_that_it_passed_what_is_marked() {
    let (_folder, objects) = store();
    let mut ids = Vec::new();
    for at in 1..=3 {
        let snapshot = snapshot(lineage("main", "build"), NOW - at * HOUR);
        ids.push(
            catalog::publish(&objects, &snapshot)
                .await
                .expect("published"),
        );
    }
    assert!(!starts_from(&objects).await.passed_marked);
    let reader = reader("here", "main");
    reader
        .mark(&objects, ids[0], Fault::Damage, "damaged")
        .await;
    let walked = starts_from(&objects).await;
    assert!(walked.passed_marked && walked.refused.is_empty());
    let ladder = ladder(&lineage("main", "build"), &[]);
    let walk = Walk::<Snapshot>::new(&objects, ladder, &reader);
    let only = walk.only(ids[2]).first(async |found| Ok(found.id)).await;
    assert!(only.passed_marked);
    assert_eq!(only.outcome.expect("a listing"), Some(ids[2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubted_volume_stores_again_what_the_job_wrote() {
    let (_folder, objects) = store();
    let write = async |source: &Arc<Source>| {
        let changed = Changed {
            written: vec![0, 1],
            ..Changed::default()
        };
        let read = |block: u64, buffer: &mut [u8]| {
            buffer.fill(block as u8 + 1);
            Ok(())
        };
        let job = Job {
            changed,
            ..Job::default()
        };
        let packed = packer::pack(source, job, read, Arc::default()).await;
        packed.expect("packed")
    };
    let empty = Source::empty(objects.clone(), 1 << 30).expect("a source");
    let first = write(&Arc::new(empty)).await;
    let source = Arc::new(
        Source::open(objects, first.map, first.hot)
            .await
            .expect("a source"),
    );
    assert_eq!(write(&source).await.new_blocks, 0);
    source.doubt();
    assert_eq!(write(&source).await.new_blocks, 2);
}

#[tokio::test]
async fn a_list_of_documents_names_those_that_are_elsewhere() {
    let (folder, objects) = store();
    let pull = snapshot(lineage("pull/7", "build"), NOW - 1);
    let id = catalog::publish(&objects, &pull).await.expect("published");
    place(folder.path(), NOW - 1, id, &pull.encode().1);
    let (found, faults) = catalog::list::<Snapshot>(&objects).await.expect("a list");
    assert_eq!((found.len(), faults.len()), (1, 1));
    assert!(
        matches!(faults[0], StoreError::Contradiction { .. }),
        "{faults:?}"
    );
}

/// All regions of a huge volume are the same leaf, and all blocks of it the same frame.
#[tokio::test(flavor = "multi_thread")]
async fn a_map_of_countless_leaves_is_read_ahead_to_an_end() {
    const MOST: u64 = 1000;
    let (_folder, objects) = store();
    let empty = Arc::new(Source::empty(objects.clone(), 8 << 40).expect("a volume"));
    let changed = Changed {
        written: (0..8).collect(),
        ..Changed::default()
    };
    let job = Job {
        changed,
        ..Job::default()
    };
    let read = |_, buffer: &mut [u8]| {
        buffer.fill(1);
        Ok(())
    };
    let packed = packer::pack(&empty, job, read, Arc::default()).await;
    let honest = Source::open(objects.clone(), packed.expect("stored").map, None).await;
    let mut root = honest.expect("a map").root().clone();
    let leaf = *root.leaf(0).expect("its only leaf");
    for index in 0..100_000 {
        root.set_leaf(index, Some(leaf));
    }
    let (map, bytes) = root.encode();
    let stored = objects.put(&address::map(map), bytes).await;
    stored.expect("stored");
    let forged = Source::open(objects, map, None).await.expect("a map");
    forged
        .read_leaves(u64::MAX, true)
        .await
        .expect("its leaves");
    assert!(forged.traffic().requests < 3000, "{:?}", forged.traffic());
    forged.plan_rest(MOST << 16);
    let (rest, arrived) = (forged.rest().expect("planned"), AtomicU64::new(0));
    while rest
        .read_next(|_| {
            arrived.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .await
        .is_some()
    {}
    assert_eq!(arrived.into_inner(), MOST);
}

/// A link leads elsewhere, and a pipe would be waited for.
#[tokio::test]
async fn what_is_no_file_is_no_object() {
    const PATH: &str = "v1/maps/some";
    let (folder, objects) = store();
    let path = folder.path().join(PATH);
    let link = |to: &str| std::os::unix::fs::symlink(to, &path).expect("made");
    let pipe = || std::process::Command::new("mkfifo").arg(&path).status();
    for number in 0..4 {
        objects.put(PATH, "some").await.expect("stored");
        fs::remove_file(&path).expect("removed");
        match number {
            0 => link("/etc/hostname"),
            1 => link("/dev/zero"),
            2 => assert!(pipe().expect("it starts").success()),
            _ => fs::create_dir(&path).expect("made"),
        }
        let whole = objects.get(PATH, 1 << 20).await;
        let part = objects.get_range(PATH, 0..4).await;
        for read in [whole, part] {
            assert!(
                matches!(read, Err(StoreError::Missing { .. })),
                "{number}: {read:?}"
            );
        }
    }
}
