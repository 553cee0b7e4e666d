//! Documents and marks that are signed, and what comes of those that are not.

use std::fs;
use std::path::Path;
use std::time::Duration;

use larder_local::own::OwnFolder;
use larder_model::address::{self, Kind};
use larder_model::digest::SnapshotId;
use larder_model::document::Document as _;
use larder_model::ladder::ladder;
use larder_model::mark::Fault;
use larder_model::signature::{Trust, Trusted};
use larder_model::snapshot::Snapshot;
use larder_store::catalog::{self, Walk};
use larder_store::{Access, Keys, Location, Objects, SignKey};

use super::catalogue::{NOW, lineage, reader, snapshot, store};

const DAY: u64 = 24 * 3600 * 1000;

fn key() -> SignKey {
    SignKey::generate().expect("random bytes")
}

/// The store as a job sees it that signs with one key and trusts these, `SCOPE=KEY` or `KEY`.
fn seen(objects: &Objects, sign: Option<&SignKey>, trusted: &[String]) -> Objects {
    let trusted = trusted.iter().map(|text| text.parse::<Trusted>());
    objects.clone().with_keys(Keys {
        sign: sign.cloned(),
        trust: Trust::new(trusted.collect::<Result<_, _>>().expect("keys")),
        max_age: Some(Duration::from_millis(DAY)),
        ..Keys::default()
    })
}

/// When the snapshot was made that a job of `main` starts from, and what is said.
async fn starts_from(objects: &Objects) -> (Option<u64>, String) {
    let (reader, ladder) = (
        reader("here", "main"),
        ladder(&lineage("main", "build"), &[]),
    );
    let walk = Walk::<Snapshot>::new(objects, ladder, &reader);
    let walked = walk.first(async |found| Ok(found.document.created_ms));
    let walked = walked.await;
    let told = walked.told("snapshot").join("\n");
    (walked.outcome.expect("a listing"), told)
}

async fn publish(objects: &Objects, scope: &str, at: u64) -> SnapshotId {
    let snapshot = snapshot(lineage(scope, "build"), at);
    catalog::publish(objects, &snapshot).await.expect("stored")
}

fn path(folder: &Path, scope: &str, at: u64, id: SnapshotId) -> std::path::PathBuf {
    folder.join(address::document(
        Kind::Snapshot,
        &lineage(scope, "build"),
        at,
        id,
    ))
}

#[tokio::test]
async fn only_what_a_trusted_key_signed_for_its_scope_is_restored() {
    let (folder, objects) = store();
    let (ours, pulls, evil) = (key(), key(), key());
    let trust = [
        format!("main={}", ours.public()),
        format!("pull/={}", pulls.public()),
    ];
    let trusting = seen(&objects, None, &trust);
    assert_eq!(starts_from(&trusting).await.0, None);
    publish(&seen(&objects, Some(&ours), &[]), "main", NOW - 9).await;
    assert_eq!(starts_from(&trusting).await, (Some(NOW - 9), String::new()));

    for (key, said) in [
        (None, "it is not signed"),
        (Some(&evil), "--trust does not name for main"),
        (Some(&pulls), "--trust does not name for main"),
    ] {
        publish(&seen(&objects, key, &[]), "main", NOW - 8).await;
        let (at, told) = starts_from(&trusting).await;
        assert_eq!(at, Some(NOW - 9), "{told}");
        assert!(told.contains(said), "{told}");
        // Without --trust it is restored as ever.
        assert_eq!(starts_from(&objects).await.0, Some(NOW - 8));
    }
    assert!(
        catalog::marks(&objects)
            .await
            .expect("a listing")
            .is_empty()
    );

    // Signed for a pull request, and copied to where main looks.
    let id = publish(&seen(&objects, Some(&pulls), &[]), "pull/7", NOW - 7).await;
    fs::copy(
        path(folder.path(), "pull/7", NOW - 7, id),
        path(folder.path(), "main", NOW - 7, id),
    )
    .expect("copied");
    let (at, told) = starts_from(&trusting).await;
    assert_eq!(at, Some(NOW - 9));
    assert!(told.contains("contradicts itself"), "{told}");
}

#[tokio::test]
async fn a_signature_that_is_changed_or_borrowed_is_none() {
    let (folder, objects) = store();
    let ours = key();
    let signing = seen(&objects, Some(&ours), &[]);
    let trusting = seen(&objects, None, &[ours.public().to_string()]);
    publish(&signing, "main", NOW - 9).await;
    let id = publish(&signing, "main", NOW - 8).await;
    let honest = path(folder.path(), "main", NOW - 8, id);
    let bytes = fs::read(&honest).expect("there");
    fs::remove_file(&honest).expect("removed");
    let place = |bytes: &[u8], at: u64| {
        let path = path(folder.path(), "main", at, SnapshotId::of(bytes));
        fs::write(&path, bytes).expect("written");
        path
    };
    let text = String::from_utf8(bytes.clone()).expect("JSON");
    let other_map = text.replacen("26.1.5", "26.1.6", 1);
    let later = text.replacen(&(NOW - 8).to_string(), &(NOW - 1).to_string(), 1);
    let unsigned = snapshot(lineage("main", "build"), NOW - 8).encode().1;
    for (forged, at) in [
        (other_map.as_bytes(), NOW - 8),
        (later.as_bytes(), NOW - 1),
        (&unsigned, NOW - 8),
    ] {
        let forged = place(forged, at);
        let (found, told) = starts_from(&trusting).await;
        assert_eq!(found, Some(NOW - 9), "{told}");
        assert!(told.contains("is not trusted"), "{told}");
        fs::remove_file(forged).expect("removed");
    }
    place(&bytes, NOW - 8);
    assert_eq!(starts_from(&trusting).await, (Some(NOW - 8), String::new()));
}

#[tokio::test]
async fn what_is_brought_back_is_too_old() {
    let (_folder, objects) = store();
    let ours = key();
    let signing = seen(&objects, Some(&ours), &[ours.public().to_string()]);
    publish(&signing, "main", NOW - 3 * DAY).await;
    publish(&signing, "main", NOW - 2 * DAY).await;
    let (found, told) = starts_from(&signing).await;
    assert_eq!(found, None);
    assert!(
        told.contains("it is 2 days old") && !told.contains('\n'),
        "{told}"
    );
    publish(&signing, "main", NOW - DAY).await;
    assert_eq!(starts_from(&signing).await.0, Some(NOW - DAY));
}

#[tokio::test]
async fn marks_count_that_a_trusted_key_signed() {
    let (folder, objects) = store();
    let (ours, evil) = (key(), key());
    let trust = [ours.public().to_string()];
    let signing = seen(&objects, Some(&ours), &trust);
    let id = publish(&signing, "main", NOW - 9).await;
    let reader = reader("there", "main");
    for writer in [seen(&objects, Some(&evil), &[]), objects.clone()] {
        reader.mark(&writer, id, Fault::Damage, "it is cut").await;
        assert_eq!(starts_from(&signing).await.0, Some(NOW - 9));
        assert_eq!(catalog::marks(&signing).await.expect("a listing"), []);
        assert_eq!(starts_from(&objects).await.0, None);
    }
    // A forged mark does not stand in the way of an honest one.
    reader.mark(&signing, id, Fault::Damage, "it is cut").await;
    assert_eq!(starts_from(&signing).await.0, None);
    assert_eq!(catalog::marks(&signing).await.expect("a listing").len(), 1);

    // One that was copied to another document is none there.
    let other = publish(&signing, "main", NOW - 8).await;
    let [from, to] = [id, other].map(|of| folder.path().join(address::marks(of, "main")));
    fs::create_dir_all(&to).expect("a folder");
    for mark in fs::read_dir(from).expect("marks") {
        let mark = mark.expect("an entry");
        fs::copy(mark.path(), to.join(mark.file_name())).expect("copied");
    }
    assert_eq!(starts_from(&signing).await.0, Some(NOW - 8));
}

/// A machine that trusts what it signs, and remembers in `heads` what it has started from.
fn machine(store: &Path, heads: &Path, key: &SignKey) -> Objects {
    let keys = Keys {
        sign: Some(key.clone()),
        trust: Trust::new(vec![key.public().to_string().parse().expect("a key")]),
        ..Keys::default()
    };
    let access = Access::new(Location::folder(store), Vec::new(), keys);
    let heads = OwnFolder::new(heads.to_owned(), None);
    access.remembering(heads).open().expect("a store")
}

/// Saves after the head, if there is one.
async fn save(objects: &Objects, at: u64) -> SnapshotId {
    let lineage = lineage("main", "build");
    let head = catalog::head::<Snapshot>(objects, &lineage, NOW).await;
    let head = head.expect("a listing");
    let counter = catalog::counter(objects, &lineage, None, head.as_ref()).await;
    let counter = counter.expect("the head can be read").max(1);
    let counter = counter + u64::from(head.is_some());
    let snapshot = Snapshot {
        counter,
        ..snapshot(lineage, at)
    };
    catalog::publish(objects, &snapshot).await.expect("stored")
}

#[tokio::test]
async fn a_machine_takes_nothing_older_than_it_has_seen_whatever_clocks_say() {
    let (folder, _objects) = store();
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let (ours, store) = (key(), folder.path());
    let here = || machine(store, here.path(), &ours);
    let fresh = machine(store, there.path(), &ours);
    let mut saved = Vec::new();
    for ago in [30, 20, 10] {
        saved.push((NOW - ago, save(&fresh, NOW - ago).await));
    }
    assert_eq!(starts_from(&here()).await, (Some(NOW - 10), String::new()));

    // Whoever may delete takes away what came last, or puts an old one back alone.
    let kept: Vec<_> = saved
        .iter()
        .map(|(at, id)| path(store, "main", *at, *id))
        .collect();
    let bytes = fs::read(&kept[2]).expect("there");
    fs::remove_file(&kept[2]).expect("removed");
    let (found, told) = starts_from(&here()).await;
    assert_eq!(found, None, "{told}");
    assert!(
        told.contains("its counter is 2, and this machine has seen 3"),
        "{told}"
    );
    // So does the machine that saved it, and not one that has seen nothing.
    assert_eq!(starts_from(&fresh).await.0, None);
    let new = tempfile::tempdir().expect("a folder");
    let new = machine(store, &new.path().join("heads"), &ours);
    assert_eq!(starts_from(&new).await.0, Some(NOW - 20));

    // What it saves now goes on from what it has seen, for all.
    let lineage = lineage("main", "build");
    let next = catalog::counter::<Snapshot>(&here(), &lineage, None, None).await;
    assert_eq!(next.expect("nothing is read"), 3);
    fs::write(&kept[2], bytes).expect("written");
    assert_eq!(starts_from(&here()).await, (Some(NOW - 10), String::new()));

    // A counter that was written over is not what was signed, and one that nobody trusts says nothing.
    let text = fs::read_to_string(&kept[1]).expect("there");
    let forged = text.replacen("\"counter\":2", "\"counter\":9", 1);
    assert_ne!(forged, text);
    let id = SnapshotId::of(forged.as_bytes());
    fs::write(path(store, "main", NOW - 20, id), forged).expect("written");
    fs::remove_file(&kept[2]).expect("removed");
    assert_eq!(starts_from(&here()).await.0, None);
    let evil = key();
    let stranger = machine(store, there.path(), &evil);
    let high = Snapshot {
        counter: 50,
        ..snapshot(lineage.clone(), NOW - 5)
    };
    catalog::publish(&stranger, &high).await.expect("stored");
    let head = catalog::head::<Snapshot>(&here(), &lineage, NOW).await;
    let head = head.expect("a listing");
    let next = catalog::counter(&here(), &lineage, None, head.as_ref()).await;
    assert_eq!(next.expect("read"), 3);
}
