//! Documents that are laid out anew, so that packs can go.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use larder_local::people::Nobody;
use larder_model::address;
use larder_model::archive::{Archive, Measured};
use larder_model::document::Document;
use larder_model::mark::{Fault, MachineId};
use larder_model::retention::REUSE_MS;
use larder_model::snapshot::{EngineRecord, Snapshot};
use larder_store::catalog::Reader;
use larder_store::{
    ArchiveFacts, ArchiveReader, ArchiveWriter, Found, Keys, Objects, SignKey, catalog,
};
use larder_upkeep::gc::{Collected, Compacted, Plan};
use larder_upkeep::verify::verify;

use crate::garbage::{collect, files};
use crate::kit::{Random, keeping, lineage, open};
use crate::volumes::{self, Volume, check, first, head, job, size, step};

const MAIN: (&str, &str) = ("main", "main");
const AT_ONCE: Duration = Duration::ZERO;
const BLOCKS: u64 = 144;

fn compacting(last: usize) -> Plan {
    Plan {
        compact_bytes: u64::MAX,
        ..keeping(last, AT_ONCE)
    }
}

/// A line of jobs, each of which changes some blocks.
async fn line(objects: &Objects, jobs: usize) -> Volume {
    let (mut volume, all) = first(BLOCKS);
    let mut random = Random::new(3);
    job(objects, MAIN, &volume, &all, false).await;
    for _ in 1..jobs {
        let written = step(&mut volume, &mut random);
        job(objects, MAIN, &volume, &written, false).await;
    }
    volume
}

/// All of a kind, the newest first.
async fn all<D: Document>(objects: &Objects) -> Vec<Found<D>> {
    let (found, faults) = catalog::list::<D>(objects).await.expect("listed");
    assert!(faults.is_empty(), "{faults:?}");
    found
}

async fn is_sound(objects: &Objects) {
    let checked = verify(objects, true, &Nobody).await.expect("verified");
    let whole = checked.is_sound() && checked.damaged.is_empty();
    assert!(whole, "{checked:?}");
}

/// Collects twice: what is retired holds what it names until the next collection.
async fn settle(objects: &Objects, plan: &Plan) -> Collected {
    let first = collect(objects, plan).await;
    collect(objects, plan).await;
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn after_many_jobs_a_store_is_near_one_full_snapshot() {
    let [folder, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let (mut volume, every) = first(BLOCKS);
    let mut random = Random::new(5);
    job(&open(folder.path()), MAIN, &volume, &every, false).await;
    for number in 1..=45 {
        let written = step(&mut volume, &mut random);
        job(&open(folder.path()), MAIN, &volume, &written, false).await;
        if number % 15 == 0 {
            settle(&open(folder.path()), &compacting(2)).await;
        }
    }
    let objects = open(folder.path());
    job(&open(fresh.path()), MAIN, &volume, &every, false).await;
    let ((bytes, _), (full, _)) = (size(folder.path()), size(fresh.path()));
    assert!(
        bytes * 2 <= full * 3,
        "{bytes} bytes, and one snapshot has {full}"
    );
    let newest = all::<Snapshot>(&objects).await;
    assert_eq!(newest.len(), 2);
    check(&objects, &newest[0].document, &volume).await;
    is_sound(&objects).await;
    // What was done once is not done again.
    let before = files(folder.path());
    let idle = collect(&objects, &compacting(2)).await;
    assert_eq!(idle.compacted, Compacted::default(), "{idle:?}");
    let count = |files: &[std::path::PathBuf]| {
        let stays = files.iter();
        stays
            .filter(|path| !path.to_string_lossy().contains("/sweeps/"))
            .count()
    };
    assert_eq!(count(&files(folder.path())), count(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_takes_the_place_of_the_one_that_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = open(folder.path());
    let volume = line(&objects, 30).await;
    let plan = compacting(3);
    let before = all::<Snapshot>(&objects).await;
    let dry = Plan {
        grace: Duration::from_secs(3_600),
        dry_run: true,
        ..plan.clone()
    };
    let told = collect(&objects, &dry).await;
    assert_eq!(all::<Snapshot>(&objects).await, before, "a dry run");
    // A job has listed the line, another has opened its head by now.
    let own = lineage("main", "build");
    let head = catalog::head::<Snapshot>(&objects, &own, u64::MAX / 2).await;
    let listed = head.expect("listed").expect("a head");
    let opened = volumes::source(&objects, Some(&before[0].document)).await;
    let done = collect(&objects, &plan).await;
    assert_eq!(done.compacted.left_out, None);
    assert_eq!(done.compacted.documents, 3, "{done:?}");
    assert!(done.compacted.given_up.objects > 0 && done.compacted.stored_bytes > 0);
    assert_eq!(
        (told.compacted.documents, told.compacted.given_up),
        (done.compacted.documents, done.compacted.given_up)
    );
    let after = all::<Snapshot>(&objects).await;
    for (new, old) in after.iter().zip(&before) {
        let as_it_was = Snapshot {
            map: old.document.map,
            hot: old.document.hot,
            original: None,
            ..new.document.clone()
        };
        assert_eq!(
            (new.document.original, as_it_was),
            (Some(old.id), old.document.clone())
        );
        assert_ne!((new.id, new.document.map), (old.id, old.document.map));
    }
    assert_eq!(after.len(), 3);
    check(&objects, &after[0].document, &volume).await;
    is_sound(&objects).await;
    let read = catalog::read(&objects, &listed)
        .await
        .expect("it went just now");
    assert_eq!(read, before[0]);
    // What the job had opened is there until the next collection, as that of any document that goes.
    for block in volume.keys().step_by(50) {
        opened.fetch(*block).await.expect("it is there");
    }

    // What only documents name that were retired is not given up again.
    let idle = collect(&objects, &dry).await;
    assert_eq!(idle.compacted, Compacted::default(), "{idle:?}");

    // Whoever published was killed before it could retire the document that it was.
    catalog::publish(&objects, &before[0].document)
        .await
        .expect("published");
    let again = collect(&objects, &plan).await;
    let gone: Vec<_> = again.gone.iter().map(|one| one.why).collect();
    assert_eq!(gone, ["it was laid out anew"], "{again:?}");
    assert_eq!(all::<Snapshot>(&objects).await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cost_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = open(folder.path());
    let volume = line(&objects, 30).await;
    let plan = Plan {
        compact_bytes: 1 << 20,
        ..compacting(1)
    };
    let done = collect(&objects, &plan).await.compacted;
    // A map comes on top.
    let bound = plan.compact_bytes + (1 << 20);
    assert!(done.given_up.objects > 0, "{done:?}");
    assert!(done.stored_bytes <= bound, "{done:?}");
    check(
        &objects,
        &head(&objects, "main").await.expect("one"),
        &volume,
    )
    .await;
    let hasty = Plan {
        compact_within: Duration::ZERO,
        ..compacting(1)
    };
    let told = collect(&objects, &hasty).await.compacted;
    assert_eq!((told.documents, told.stored_bytes), (0, 0), "{told:?}");
    assert!(told.left_out.is_some_and(|why| why.contains("--compact")));
    let rest = collect(&objects, &compacting(1)).await.compacted;
    assert!(rest.stored_bytes > bound, "{rest:?}");
    is_sound(&objects).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_lies_in_many_packs_is_put_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = open(folder.path());
    let (volume, all) = first(BLOCKS);
    for at in 0..72_usize {
        let written = &all[at * 2..(at + 1) * 2];
        let so_far: Volume = volume
            .range(..=written[1])
            .map(|(at, of)| (*at, *of))
            .collect();
        job(&objects, MAIN, &so_far, written, false).await;
    }
    let packs = || files(&folder.path().join("v1/packs")).len();
    let scattered = packs();
    settle(&objects, &compacting(1)).await;
    assert!(packs() < scattered / 4, "{} of {scattered}", packs());
    check(
        &objects,
        &head(&objects, "main").await.expect("one"),
        &volume,
    )
    .await;
    is_sound(&objects).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_job_can_name_what_was_laid_out_anew_not_long_ago() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = open(folder.path());
    line(&objects, 20).await;
    let before = all::<Snapshot>(&objects).await.remove(0);
    let (old, own) = (
        before.document.path(before.id),
        address::map(before.document.map),
    );
    let holds = async || catalog::holds(&objects, &old, &own).await.expect("listed");
    assert!(holds().await, "it is there");
    collect(&objects, &compacting(1)).await;
    assert!(!folder.path().join(&old).exists());
    assert!(holds().await, "it went just now");
    let retired = folder.path().join(address::retired(&old));
    let half_a_day = Duration::from_millis(REUSE_MS + 60_000);
    let file = fs::File::open(&retired).expect("it was retired");
    let set = file.set_modified(SystemTime::now() - half_a_day);
    set.expect("set");
    assert!(!holds().await);
    fs::remove_file(&retired).expect("removed");
    assert!(!holds().await);
}

fn signing(objects: &Objects, key: &SignKey) -> Objects {
    objects.clone().with_keys(Keys {
        sign: Some(key.clone()),
        ..Keys::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_for_another_and_marks_stay_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let [ours, other] = [(); 2].map(|()| SignKey::generate().expect("made"));
    line(&signing(&open(folder.path()), &ours), 20).await;
    let plain = open(folder.path());
    for stranger in [&plain, &signing(&plain, &other)] {
        let left = collect(stranger, &compacting(2)).await;
        assert_eq!(left.compacted.documents, 0, "{left:?}");
    }
    let reader = Reader {
        machine: MachineId::of(b"here"),
        scope: "main".to_owned(),
        job: "test".to_owned(),
        now_ms: larder_local::clock::now_ms(),
    };
    let signing = signing(&plain, &ours);
    let marked = all::<Snapshot>(&signing).await.remove(0);
    reader
        .mark(&signing, marked.id, Fault::Damage, "test")
        .await;
    collect(&signing, &compacting(2)).await;
    assert_eq!(all::<Snapshot>(&signing).await[0], marked);
    fs::remove_dir_all(folder.path().join("v1/marks")).expect("removed");
    let done = collect(&signing, &compacting(2)).await;
    assert_eq!(done.compacted.documents, 2, "{done:?}");
    let trusting = plain.clone().with_keys(Keys {
        trust: larder_model::signature::Trust::new(vec![
            ours.public().to_string().parse().expect("a key"),
        ]),
        ..Keys::default()
    });
    assert_eq!(all::<Snapshot>(&trusting).await.len(), 2);
}

/// Saves blobs after a parent; each is of several parts that a seed makes.
async fn save(
    objects: &Objects,
    parent: Option<&Found<Archive>>,
    blobs: &[(&str, &[u64])],
) -> Found<Archive> {
    let mut writer = ArchiveWriter::new(objects.clone(), parent.cloned());
    for (name, seeds) in blobs {
        let bytes = blob(seeds);
        let whole = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes.clone())]);
        let written = writer.blob(name, bytes.len() as u64, whole).await;
        written.expect("written");
    }
    let facts = ArchiveFacts {
        lineage: lineage("main", "build"),
        created_ms: parent.map_or(1, |parent| parent.document.created_ms + 1),
        engine: EngineRecord::docker("26.1.5", "overlay2"),
        larder: "0".into(),
        contents: serde_json::json!({}),
        measured: Measured::default(),
        plan: None,
    };
    writer.finish(facts).await.expect("published")
}

fn blob(seeds: &[u64]) -> Bytes {
    let parts = seeds.iter().map(|seed| {
        let mut part = vec![0; 1 << 20];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.finalize_xof().fill(&mut part);
        part
    });
    parts.collect::<Vec<_>>().concat().into()
}

async fn load(objects: &Objects, archive: &Found<Archive>, name: &str) -> Vec<u8> {
    let reader = ArchiveReader::new(objects.clone(), Arc::new(archive.document.clone()));
    let pieces: Vec<_> = reader.blob(name).expect("a blob").collect().await;
    let pieces = pieces.into_iter().map(|piece| piece.expect("it is whole"));
    pieces.collect::<Vec<_>>().concat()
}

fn packs_bytes(folder: &Path) -> u64 {
    size(&folder.join("v1/packs")).0
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_laid_out_anew_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = open(folder.path());
    let first: Vec<u64> = (0..10).collect();
    let mut parent = save(&objects, None, &[("layer", &first), ("stays", &[50])]).await;
    // Most of the first blob goes; two of its parts are in each that follows.
    for job in 1..4 {
        let layer = [3, 100 + job, 7];
        parent = save(
            &objects,
            Some(&parent),
            &[("layer", &layer), ("stays", &[50])],
        )
        .await;
    }
    let done = settle(&objects, &compacting(2)).await;
    assert_eq!(done.compacted.left_out, None);
    assert_eq!(done.compacted.documents, 2, "{done:?}");
    let left = all::<Archive>(&objects).await;
    assert_eq!(left[0].document.original, Some(parent.id));
    for (at, archive) in left.iter().enumerate() {
        let layer = [3, 103 - at as u64, 7];
        assert!(load(&objects, archive, "layer").await == blob(&layer));
        assert!(load(&objects, archive, "stays").await == blob(&[50]));
    }
    // Of five different parts of 1 MiB.
    let bytes = packs_bytes(folder.path());
    assert!(bytes < 6 << 20, "{bytes}");
    is_sound(&objects).await;
}
