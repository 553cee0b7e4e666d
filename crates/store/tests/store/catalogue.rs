//! Publishing and finding.

use std::fs;
use std::time::Duration;

use larder_model::address::{self, Kind};
use larder_model::digest::{MapId, SnapshotId};
use larder_model::ladder::{Rung, ladder};
use larder_model::lineage::Lineage;
use larder_model::mark::{Fault, MachineId};
use larder_model::snapshot::{EngineRecord, FORMAT, Snapshot};
use larder_store::catalog::{Reader, Refusal, Walk, Walked};
use larder_store::{Location, Objects, StoreError, catalog};

/// The time of all walks.
pub(super) const NOW: u64 = 1_000_000_000_000;

pub(super) fn lineage(scope: &str, job: &str) -> Lineage {
    Lineage {
        project: "shop/web".into(),
        compatibility: "linux-x86_64-overlay2-docker26".into(),
        scope: scope.into(),
        job: job.into(),
    }
}

pub(super) fn snapshot(lineage: Lineage, created_ms: u64) -> Snapshot {
    Snapshot::first(
        lineage,
        created_ms,
        MapId::of(&created_ms.to_le_bytes()),
        64 << 30,
        EngineRecord {
            family: "docker".into(),
            version: "26.1.5".into(),
            image_store: "overlay2".into(),
        },
    )
}

pub(super) fn store() -> (tempfile::TempDir, Objects) {
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
        let times = catalog::candidates::<Snapshot>(&objects, &rung, NOW)
            .await
            .expect("a listing");
        found.push(times.iter().map(|one| one.created_ms).collect::<Vec<_>>());
    }
    assert_eq!(found, [vec![], vec![30, 20, 10], vec![50], vec![99]]);
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
        .join(address::document(Kind::Snapshot, &new.lineage, 2, id));
    let text = fs::read_to_string(&path).expect("a snapshot");
    fs::write(&path, text.replace("26.1.5", "26.1.6")).expect("a damaged snapshot");

    let rung = Rung::Lineage(new.lineage);
    let candidates = catalog::candidates::<Snapshot>(&objects, &rung, NOW)
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

/// Somebody on a machine of this name, for a job of this scope.
pub(super) fn reader(machine: &str, scope: &str) -> Reader {
    Reader {
        machine: MachineId::of(machine.as_bytes()),
        scope: scope.into(),
        job: "build".into(),
        now_ms: NOW,
    }
}

pub(super) async fn is_marked(objects: &Objects, id: SnapshotId) -> bool {
    let marks = catalog::marks(objects).await.expect("a listing");
    marks.iter().any(|mark| mark.document == id.to_string())
}

/// What a job of a pull request says of a snapshot of main counts for that pull request alone, and a start that
/// failed counts when it has failed on two machines.
#[tokio::test]
async fn marks_count_for_those_who_read_from_the_scope_that_made_them() {
    let (_folder, objects) = store();
    let ids = published(&objects, &[("main", "build", 1)]).await;
    let found = async |scope: &str, machine: &str| {
        let ladder = ladder(&lineage(scope, "build"), &["main".to_owned()]);
        let reader = reader(machine, scope);
        let walk = Walk::<Snapshot>::new(&objects, ladder, &reader);
        let walked = walk.first(async |found| Ok(found.id)).await;
        assert!(walked.refused.is_empty());
        walked.outcome.expect("a listing").is_some()
    };
    reader("a", "pull/7")
        .mark(&objects, ids[0], Fault::Damage, "rubbish")
        .await;
    assert!(found("main", "x").await && found("pull/8", "x").await);
    assert!(!found("pull/7", "x").await);
    for (machine, elsewhere) in [("a", true), ("a", true), ("b", false)] {
        let mut reader = reader(machine, "main");
        reader.now_ms -= 1;
        reader
            .mark(&objects, ids[0], Fault::Start, "no engine")
            .await;
        assert_eq!(found("main", "x").await, elsewhere);
        assert_eq!(found("pull/8", "x").await, elsewhere);
        assert!(
            !found("main", machine).await,
            "not again on the same machine"
        );
    }
    let marks = catalog::marks(&objects).await.expect("a listing");
    let told = marks
        .iter()
        .find(|mark| mark.scope == "pull/7")
        .expect("a mark");
    assert_eq!((&*told.why, told.strike.fault), ("rubbish", Fault::Damage));
    assert_eq!(marks.len(), 3, "{marks:?}");
}

/// Publishes a snapshot of each of these lineages and times; gives their ids.
async fn published(objects: &Objects, of: &[(&str, &str, u64)]) -> Vec<SnapshotId> {
    let mut ids = Vec::new();
    for (scope, job, at) in of {
        let snapshot = snapshot(lineage(scope, job), *at);
        let id = catalog::publish(objects, &snapshot).await;
        ids.push(id.expect("publishing works"));
    }
    ids
}

/// The file of a snapshot that [`published`] made.
fn file(folder: &tempfile::TempDir, of: (&str, &str, u64), id: SnapshotId) -> std::path::PathBuf {
    let lineage = lineage(of.0, of.1);
    let path = address::document(Kind::Snapshot, &lineage, of.2, id);
    folder.path().join(path)
}

fn told(walked: &Walked<u64>) -> Vec<(SnapshotId, String)> {
    let refused = walked.refused.iter();
    refused.map(|one| (one.id, one.why.to_string())).collect()
}

#[tokio::test]
async fn a_walk_offers_the_newest_of_each_rung_until_one_is_accepted() {
    let (_folder, objects) = store();
    let of = [
        ("main", "build", 10),
        ("main", "build", 20),
        ("main", "lint", 99),
        ("feature", "lint", 50),
    ];
    let ids = published(&objects, &of).await;
    let ladder = ladder(&lineage("feature", "build"), &["main".to_owned()]);
    let reader = reader("here", "feature");
    let walk = Walk::<Snapshot>::new(&objects, ladder, &reader);
    let all = walk.clone().first(async |found| {
        let at = found.document.created_ms;
        if at == 99 {
            return Ok(at);
        }
        Err(Refusal::Unfit(format!("no {at}")))
    });
    let walked = all.await;
    let expected = [(1, "no 20"), (0, "no 10"), (3, "no 50")];
    let expected = expected.map(|(at, why): (usize, _)| (ids[at], why.to_owned()));
    assert_eq!(told(&walked), expected);
    assert_eq!(walked.outcome.expect("a listing"), Some(99));

    // Each is offered once.
    let none: Walked<u64> = walk
        .first(async |_| Err(Refusal::Unfit("no".to_owned())))
        .await;
    assert_eq!(none.refused.len(), of.len());
    assert_eq!(none.outcome.expect("a listing"), None);
}

#[tokio::test]
async fn a_walk_marks_what_is_damaged_and_passes_it_over_the_next_time() {
    let (folder, objects) = store();
    let of = [
        ("main", "build", 1),
        ("main", "build", 2),
        ("main", "build", 3),
    ];
    let ids = published(&objects, &of).await;
    fs::write(file(&folder, of[2], ids[2]), "{}").expect("damaged bytes");
    let reader = reader("here", "main");
    let ladder = ladder(&lineage("main", "build"), &[]);
    let walk = Walk::<Snapshot>::new(&objects, ladder, &reader);
    // What the second one names is gone, as its job finds out when it opens it.
    let open = async |found: catalog::Found| match found.document.created_ms {
        2 => Err(StoreError::Missing {
            path: "v1/maps/x".to_owned(),
        }
        .into()),
        at => Ok(at),
    };
    let walked = walk.clone().first(open).await;
    let refused: Vec<_> = walked.refused.iter().map(|one| one.id).collect();
    assert_eq!(refused, [ids[2], ids[1]]);
    assert_eq!(walked.outcome.expect("a listing"), Some(1));
    for (id, marked) in [(ids[0], false), (ids[1], true), (ids[2], true)] {
        assert_eq!(is_marked(&objects, id).await, marked);
    }

    let again = walk
        .first(async |found| Ok(found.document.created_ms))
        .await;
    assert_eq!(told(&again), []);
    assert_eq!(again.outcome.expect("a listing"), Some(1));
}

#[tokio::test]
async fn a_walk_marks_nothing_that_is_not_damaged() {
    let (folder, objects) = store();
    let of = [1, 2, 3, 5].map(|at| ("main", "build", at));
    let ids = published(&objects, &of).await;
    let newer = Snapshot {
        format: FORMAT + 1,
        ..snapshot(lineage("main", "build"), 4)
    };
    let newer = catalog::publish(&objects, &newer).await;
    let newer = newer.expect("publishing works");
    // Another job removes this one while the walk is at the one before it.
    let removed = file(&folder, of[2], ids[2]);
    let ladder = ladder(&lineage("main", "build"), &[]);
    let rule = async |found: catalog::Found| match found.document.created_ms {
        5 => {
            fs::remove_file(&removed).expect("it was there");
            Err(Refusal::Unfit("not this one".to_owned()))
        }
        2 => Err(Refusal::Store(StoreError::Failed {
            what: "read",
            path: "v1/maps/x".to_owned(),
            why: "no answer".to_owned(),
        })),
        at => Ok(at),
    };
    let reader = reader("here", "main");
    let walk = Walk::<Snapshot>::new(&objects, ladder, &reader);
    let walked = walk.first(rule).await;
    let refused: Vec<_> = walked.refused.iter().map(|one| one.id).collect();
    assert_eq!(refused, [ids[3], newer, ids[1]], "{:?}", walked.refused);
    assert_eq!(walked.outcome.expect("a listing"), Some(1));
    for id in [ids[1], ids[2], ids[3], newer] {
        assert!(!is_marked(&objects, id).await, "{id}");
    }
}

#[tokio::test]
async fn a_walk_for_one_document_reads_no_other() {
    let (folder, objects) = store();
    let of = [
        ("main", "build", 1),
        ("main", "build", 2),
        ("main", "lint", 3),
    ];
    let ids = published(&objects, &of).await;
    fs::write(file(&folder, of[1], ids[1]), "{}").expect("damaged bytes");
    let reader = reader("here", "main");
    let ladder = ladder(&lineage("main", "build"), &[]);
    let walk = Walk::<Snapshot>::new(&objects, ladder, &reader);
    let walked = walk.only(ids[0]).first(async |found| Ok(found.id)).await;
    assert!(walked.refused.is_empty());
    assert_eq!(walked.outcome.expect("a listing"), Some(ids[0]));
    assert!(!is_marked(&objects, ids[1]).await, "it was read");
}

#[tokio::test]
async fn ladders_side_by_side_give_the_newest_of_all_on_each_rung() {
    let (_folder, objects) = store();
    let other = |scope: &str| Lineage {
        compatibility: "linux-x86_64-containerd-docker29".into(),
        ..lineage(scope, "build")
    };
    published(&objects, &[("main", "build", 1), ("feature", "build", 2)]).await;
    for (scope, at) in [("main", 9), ("feature", 3)] {
        let published = catalog::publish(&objects, &snapshot(other(scope), at)).await;
        published.expect("publishing works");
    }
    let fallback = ["main".to_owned()];
    let ladders = [lineage("feature", "build"), other("feature")];
    let ladders = ladders.map(|own| ladder(&own, &fallback)).to_vec();
    let reader = reader("here", "feature");
    let walked: Walked<u64> = Walk::<Snapshot>::side_by_side(&objects, ladders, &reader)
        .first(async |found| Err(Refusal::Unfit(found.document.created_ms.to_string())))
        .await;
    let order: Vec<_> = told(&walked).into_iter().map(|(_, why)| why).collect();
    assert_eq!(order, ["3", "2", "9", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_can_be_a_task_whose_rule_borrows() {
    let (_folder, objects) = store();
    published(&objects, &[("main", "build", 1)]).await;
    let walk = async move {
        let objects = &objects;
        let rule = |found: catalog::Found| async move {
            let head = catalog::head::<Snapshot>(objects, &found.document.lineage, NOW);
            Ok(head.await?.map(|head| head.id) == Some(found.id))
        };
        let ladder = ladder(&lineage("main", "build"), &[]);
        let reader = reader("here", "main");
        Walk::<Snapshot>::new(objects, ladder, &reader)
            .first(rule)
            .await
            .outcome
    };
    let walked = tokio::spawn(walk).await.expect("no panic");
    assert_eq!(walked.expect("a listing"), Some(true));
}

/// Whoever listed a later rung may have been about to read whether the store is sealed, which all others wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_is_through_with_its_first_rung_waits_for_no_other() {
    let (folder, objects) = store();
    published(&objects, &[("main", "build", 7)]).await;
    let scopes: Vec<String> = (0..8).map(|scope| scope.to_string()).collect();
    for round in 0..400 {
        let objects = Location::folder(folder.path()).open(&[]).expect("a store");
        let ladder = ladder(&lineage("main", "build"), &scopes);
        let reader = reader("here", "main");
        let walk = Walk::<Snapshot>::new(&objects, ladder, &reader);
        let walked = walk.first(async |found| Ok(found.document.created_ms));
        let walked = tokio::time::timeout(Duration::from_secs(20), walked).await;
        let walked = walked.unwrap_or_else(|_| panic!("it hangs in round {round}"));
        assert_eq!(walked.outcome.expect("a listing"), Some(7));
    }
}
