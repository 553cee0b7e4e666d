//! What a collection removes, and what it does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_local::people::Nobody;
use larder_model::address::{self, Kind};
use larder_model::snapshot::Snapshot;
use larder_store::{Objects, StoreError, catalog};
use larder_upkeep::gc::{self, Collected, Plan};
use larder_upkeep::verify::verify;

use crate::kit::{Machine, Random, keeping, open};

const AT_ONCE: Duration = Duration::ZERO;
const GRACE: Duration = Duration::from_millis(1_200);

pub(crate) async fn collect(objects: &Objects, plan: &Plan) -> Collected {
    gc::collect(objects, plan, &Nobody)
        .await
        .expect("collected")
}

/// All files of a store.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found
}

/// The files that are not what a collection itself writes.
fn held(folder: &Path) -> usize {
    let files = files(folder);
    let own = |path: &&PathBuf| !path.to_string_lossy().contains("/sweeps/");
    files.iter().filter(own).count()
}

async fn jobs(machine: &Machine, count: usize, seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..count {
        machine.job(&mut random, AT_ONCE).await.expect("saved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_but_what_the_documents_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::new(folder.path(), "main");
    jobs(&machine, 8, 1).await;
    fs::write(folder.path().join("v1/maps/x#1"), b"half").expect("a half");
    let plan = keeping(2, GRACE);
    let first = collect(&machine.objects, &plan).await;
    assert_eq!((first.documents, first.gone.len()), (2, 6), "{first:?}");
    assert_eq!((first.removed.objects, first.held_back), (0, None));
    let waiting = first.waiting;
    let again = collect(&machine.objects, &plan).await;
    assert_eq!(
        (again.removed.objects, again.waiting),
        (0, waiting),
        "within the grace"
    );
    tokio::time::sleep(GRACE).await;
    let last = collect(&machine.objects, &plan).await;
    assert_eq!(last.removed.objects, waiting.objects + 1, "{last:?}");
    assert_eq!(last.waiting.objects, 0);
    assert_eq!(held(folder.path()) as u64, last.kept.objects + 2);
    let checked = verify(&machine.objects, true, &Nobody)
        .await
        .expect("verified");
    assert!(
        checked.is_sound() && checked.damaged.is_empty(),
        "{checked:?}"
    );
    assert_eq!(checked.named, last.kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_again_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::new(folder.path(), "main");
    jobs(&machine, 2, 1).await;
    let (found, _) = catalog::list::<Snapshot>(&machine.objects)
        .await
        .expect("listed");
    let all = Plan {
        rules: larder_model::retention::Rules {
            older_than_ms: Some(0),
            ..Default::default()
        },
        ..keeping(0, GRACE)
    };
    collect(&machine.objects, &all).await;
    tokio::time::sleep(GRACE).await;
    // A job that had started from it saves: the same objects, and a document of its own.
    catalog::publish(&machine.objects, &found[0].document)
        .await
        .expect("published");
    let collected = collect(&machine.objects, &keeping(9, GRACE)).await;
    assert!(collected.removed.objects > 0, "{collected:?}");
    let checked = verify(&machine.objects, true, &Nobody)
        .await
        .expect("verified");
    assert!(checked.is_sound() && checked.documents == 1, "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_read_what_was_just_removed_can_still_save() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::new(folder.path(), "main");
    let saved = machine
        .job(&mut Random::new(4), AT_ONCE)
        .await
        .expect("saved");
    // Everything is old, and collections have seen it while nothing named it yet, for all they know.
    for _ in 0..2 {
        collect(&machine.objects, &keeping(9, GRACE)).await;
        tokio::time::sleep(GRACE).await;
    }
    let documents = larder_upkeep::list(&machine.objects).await.expect("listed");
    let all: Vec<_> = documents.iter().collect();
    larder_upkeep::remove::remove(&machine.objects, &all)
        .await
        .expect("removed");
    let collected = collect(&machine.objects, &keeping(9, GRACE)).await;
    assert_eq!(
        (collected.removed.objects, collected.documents),
        (0, 0),
        "{collected:?}"
    );
    catalog::publish(&machine.objects, &saved.document)
        .await
        .expect("published");
    let checked = verify(&machine.objects, true, &Nobody)
        .await
        .expect("verified");
    assert!(checked.is_sound() && checked.documents == 1, "{checked:?}");
}

#[tokio::test]
async fn what_was_written_again_of_late_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = open(folder.path());
    let (map, bytes) = larder_model::map::MapRoot::empty(1 << 20)
        .expect("a size")
        .encode();
    let path = address::map(map);
    objects.put(&path, bytes.clone()).await.expect("stored");
    let plan = keeping(1, GRACE);
    collect(&objects, &plan).await;
    tokio::time::sleep(GRACE).await;
    // Just now a job stores the same, and has not published yet.
    open(folder.path()).put(&path, bytes).await.expect("stored");
    let collected = collect(&objects, &plan).await;
    assert_eq!(collected.removed.objects, 0, "{collected:?}");
    assert!(folder.path().join(path).exists());
}

#[tokio::test]
async fn nothing_is_published_that_a_sweep_may_have_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::new(folder.path(), "main");
    let mut random = Random::new(5);
    let saved = machine.job(&mut random, AT_ONCE).await.expect("saved");
    let path = address::map(saved.document.map);
    let list: larder_model::garbage::Garbage = address::parse_content(&path).into_iter().collect();
    let (id, bytes) = list.encode(1);
    let sweep = address::sweep(1, id);
    let put =
        |path: String, bytes: Vec<u8>| fs::write(folder.path().join(path), bytes).expect("written");
    fs::create_dir_all(folder.path().join(address::sweeps())).expect("a folder");
    put(sweep.clone(), bytes);
    put(address::done(&sweep), Vec::new());
    let again = catalog::publish(&machine.objects, &saved.document).await;
    again.expect("it is there still");
    fs::remove_file(folder.path().join(&path)).expect("removed");
    let error = catalog::publish(&machine.objects, &saved.document)
        .await
        .expect_err("gone");
    assert!(matches!(error, StoreError::Collected { .. }), "{error}");
    // Whoever did not write it is not concerned.
    let other = Machine::new(folder.path(), "other");
    other.job(&mut random, AT_ONCE).await.expect("saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_read_holds_everything_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::new(folder.path(), "main");
    jobs(&machine, 3, 1).await;
    let (found, _) = catalog::list::<Snapshot>(&machine.objects)
        .await
        .expect("listed");
    let newest = found[0].clone();
    fs::write(
        folder.path().join(address::map(newest.document.map)),
        b"rubbish",
    )
    .expect("written");
    let plan = keeping(1, AT_ONCE);
    let before = held(folder.path());
    let collected = collect(&machine.objects, &plan).await;
    let why = collected.held_back.clone().expect("it is said");
    assert!(
        why.contains("v1/maps/") && why.contains("--repair"),
        "{why}"
    );
    collect(&machine.objects, &plan).await;
    assert_eq!(held(folder.path()), before - 2, "two documents went");
    fs::create_dir(folder.path().join("v1/bundles")).expect("a folder");
    let collected = collect(&machine.objects, &plan).await;
    assert!(
        collected
            .held_back
            .is_some_and(|why| why.contains("v1/bundles"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_scopes_and_bytes_and_a_dry_run() {
    let folder = tempfile::tempdir().expect("a folder");
    for (at, scope) in (1..).zip(["branch/main", "branch/gone", "pull/7", "by-hand"]) {
        jobs(&Machine::new(folder.path(), scope), 2, at).await;
    }
    let objects = open(folder.path());
    let mut plan = Plan {
        alive: Some(vec!["main".to_owned()]),
        dry_run: true,
        ..keeping(1, AT_ONCE)
    };
    let before = files(folder.path());
    let told = collect(&objects, &plan).await;
    assert_eq!((told.documents, told.gone.len()), (2, 6), "{told:?}");
    assert_eq!(files(folder.path()), before, "a dry run");
    plan.dry_run = false;
    plan.project = Some("another".to_owned());
    let others = collect(&objects, &plan).await;
    assert_eq!((others.documents, others.gone.len()), (8, 0), "{others:?}");
    plan.project = None;
    let done = collect(&objects, &plan).await;
    assert_eq!((done.documents, done.gone.len()), (2, 6));
    plan.max_bytes = Some(done.kept.bytes - 1);
    let smaller = collect(&objects, &plan).await;
    assert_eq!(
        (smaller.documents, smaller.gone.len()),
        (1, 1),
        "{smaller:?}"
    );
    assert!(smaller.kept.bytes < done.kept.bytes);
    plan.documents_max = Some(0);
    let bounded = gc::collect(&objects, &plan, &Nobody)
        .await
        .expect("collected");
    assert!(bounded.held_back.is_some(), "{bounded:?}");
}

#[tokio::test]
async fn lists_of_images_and_marks_that_nobody_looks_at_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::new(folder.path(), "main");
    jobs(&machine, 1, 1).await;
    let now = larder_local::clock::now_ms();
    for ago in [1_000, 2_000, 3_000] {
        let published = larder_store::images::publish(&machine.objects, "shop/web", now - ago, &[]);
        published.await.expect("published");
    }
    let (found, _) = catalog::list::<Snapshot>(&machine.objects)
        .await
        .expect("listed");
    let reader = larder_store::catalog::Reader {
        machine: larder_model::mark::MachineId::of(b"here"),
        scope: "main".to_owned(),
        job: "test".to_owned(),
        now_ms: now,
    };
    let gone = larder_model::digest::SnapshotId::of(b"gone").to_string();
    for document in [found[0].id.to_string(), gone] {
        let fault = larder_model::mark::Fault::Damage;
        reader.mark(&machine.objects, document, fault, "test").await;
    }
    let hour = Duration::from_secs(3_600);
    let collected = collect(&machine.objects, &keeping(1, hour)).await;
    assert_eq!(
        collected.removed.objects, 0,
        "within the grace: {collected:?}"
    );
    let collected = collect(&machine.objects, &keeping(1, AT_ONCE)).await;
    assert_eq!(collected.removed.objects, 3, "{collected:?}");
    assert_eq!(files(&folder.path().join("v1/images")).len(), 1);
    assert_eq!(files(&folder.path().join("v1/marks")).len(), 1);
}

#[tokio::test]
async fn a_copy_of_the_newest_document_goes_with_the_last_of_its_lineage() {
    let folder = tempfile::tempdir().expect("a folder");
    let machines = ["branch/main", "branch/gone"].map(|scope| Machine::new(folder.path(), scope));
    let mut copies = Vec::new();
    for machine in &machines {
        jobs(machine, 1, 1).await;
        let (found, _) = catalog::list::<Snapshot>(&machine.objects)
            .await
            .expect("listed");
        let of = found.iter().map(|found| &found.document.lineage);
        let of = of.max_by_key(|of| of.scope == "branch/gone").expect("one");
        let path = address::newest(Kind::Snapshot, of);
        machine.objects.put(&path, "a copy").await.expect("stored");
        copies.push(folder.path().join(path));
    }
    let mut plan = keeping(1, AT_ONCE);
    let collected = collect(&machines[0].objects, &plan).await;
    assert_eq!(collected.removed.objects, 0, "{collected:?}");
    plan.alive = Some(vec!["main".to_owned()]);
    let collected = collect(&machines[0].objects, &plan).await;
    assert_eq!(collected.documents, 1, "{collected:?}");
    let left: Vec<bool> = copies.iter().map(|copy| copy.exists()).collect();
    assert_eq!(left, [true, false]);
}
