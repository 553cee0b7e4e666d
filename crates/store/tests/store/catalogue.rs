//! Publishing and finding.

use std::fs;

use larder_model::digest::MapId;
use larder_model::ladder::{Rung, ladder};
use larder_model::lineage::Lineage;
use larder_model::snapshot::{EngineRecord, FORMAT, Snapshot, Statistics};
use larder_store::{Location, Objects, catalog};

fn lineage(scope: &str, job: &str) -> Lineage {
    Lineage {
        project: "shop/web".into(),
        compatibility: "linux-x86_64-overlay2-docker26".into(),
        scope: scope.into(),
        job: job.into(),
    }
}

fn snapshot(lineage: Lineage, created_ms: u64) -> Snapshot {
    Snapshot {
        format: FORMAT,
        lineage,
        created_ms,
        parent: None,
        sibling: false,
        map: MapId::of(&created_ms.to_le_bytes()),
        volume_bytes: 64 << 30,
        hot: None,
        engine: EngineRecord {
            family: "docker".into(),
            version: "26.1.5".into(),
            image_store: "overlay2".into(),
        },
        larder: "0".into(),
        statistics: Statistics::default(),
        plan: None,
    }
}

fn store() -> (tempfile::TempDir, Objects) {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Location::folder(folder.path()).open(&[]).expect("a store");
    (folder, objects)
}

#[tokio::test]
async fn the_ladder_leads_to_the_newest_of_the_first_rung_that_has_any() {
    let (_folder, objects) = store();
    for (scope, job, at) in [
        ("main", "build", 10),
        ("main", "build", 30),
        ("main", "build", 20),
        ("main", "lint", 99),
        ("feature", "lint", 50),
        ("pull/7", "build", 1000),
    ] {
        let published = catalog::publish(&objects, &snapshot(lineage(scope, job), at)).await;
        published.expect("publishing works");
    }
    let own = lineage("feature", "build");
    let mut found = Vec::new();
    for rung in ladder(&own, &["main".to_owned()]) {
        let times = catalog::candidates::<Snapshot>(&objects, &rung)
            .await
            .expect("a listing");
        found.push(times.iter().map(|one| one.created_ms).collect::<Vec<_>>());
    }
    assert_eq!(
        found,
        [vec![], vec![30, 20, 10], vec![50], vec![99, 30, 20, 10]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_lose_nothing() {
    let (_folder, objects) = store();
    let writers = (0..40).map(|at| {
        let objects = objects.clone();
        tokio::spawn(async move {
            let snapshot = snapshot(lineage("main", "build"), 1_000 + at % 4);
            let snapshot = Snapshot {
                larder: at.to_string(),
                ..snapshot
            };
            catalog::publish(&objects, &snapshot)
                .await
                .expect("publishing works")
        })
    });
    let mut published = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        published.push(writer.await.expect("no panic"));
    }
    let (mut listed, faults) = catalog::list::<Snapshot>(&objects)
        .await
        .expect("a listing");
    assert!(faults.is_empty(), "{faults:?}");
    published.sort_unstable();
    listed.sort_by_key(|one| one.id);
    assert_eq!(
        listed.iter().map(|one| one.id).collect::<Vec<_>>(),
        published
    );
}

#[tokio::test]
async fn a_damaged_snapshot_is_named_and_the_others_are_listed() {
    let (folder, objects) = store();
    let old = snapshot(lineage("main", "build"), 1);
    let new = snapshot(lineage("main", "build"), 2);
    let old = catalog::publish(&objects, &old)
        .await
        .expect("publishing works");
    let id = catalog::publish(&objects, &new)
        .await
        .expect("publishing works");
    let path = folder
        .path()
        .join(larder_model::address::snapshot(&new.lineage, 2, id));
    let text = fs::read_to_string(&path).expect("a snapshot");
    fs::write(&path, text.replace("26.1.5", "26.1.6")).expect("a damaged snapshot");

    let rung = Rung::Lineage(new.lineage);
    let candidates = catalog::candidates::<Snapshot>(&objects, &rung)
        .await
        .expect("a listing");
    let error = catalog::read(&objects, &candidates[0])
        .await
        .expect_err("damage");
    assert!(error.is_damage(), "{error}");
    assert_eq!(
        catalog::read(&objects, &candidates[1])
            .await
            .expect("whole")
            .id,
        old
    );
    let (listed, faults) = catalog::list::<Snapshot>(&objects)
        .await
        .expect("a listing");
    assert_eq!((listed.len(), faults.len()), (1, 1));
}

#[tokio::test]
async fn marks_are_seen_and_may_be_made_twice() {
    let (_folder, objects) = store();
    let published = catalog::publish(&objects, &snapshot(lineage("main", "b"), 1)).await;
    let id = published.expect("publishing works");
    assert!(!catalog::is_broken(&objects, id).await.expect("an answer"));
    for _ in 0..2 {
        catalog::mark_broken(&objects, id, "why")
            .await
            .expect("a mark");
    }
    assert!(catalog::is_broken(&objects, id).await.expect("an answer"));
}
