//! Documents that are promoted, copied and removed.

use std::fs;
use std::time::Duration;

use larder_local::clock::now_ms;
use larder_local::people::Nobody;
use larder_model::mark::MachineId;
use larder_model::snapshot::Snapshot;
use larder_store::catalog::{self, Reader};
use larder_store::{EncryptKey, Keys};
use larder_upkeep::copy::copy;
use larder_upkeep::promote::promote;
use larder_upkeep::remove::remove;
use larder_upkeep::verify::verify;
use larder_upkeep::{Selection, list};

use crate::garbage::{collect, files};
use crate::kit::{Machine, Random, keeping, open};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_whole_goes_on_where_it_was_and_copies_nothing_twice() {
    let (here, there) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let machine = Machine::new(here.path(), "main");
    let mut random = Random::new(7);
    for _ in 0..3 {
        machine
            .job(&mut random, Duration::ZERO)
            .await
            .expect("saved");
    }
    let documents = list(&machine.objects).await.expect("listed");
    let selection = Selection::default();
    let newest = selection.newest(&documents, now_ms()).expect("a head");
    let to = open(there.path());
    let first = copy(&machine.objects, &to, &newest, &Nobody)
        .await
        .expect("copied");
    assert_eq!((first.documents.len(), first.there.objects), (1, 0));
    let checked = verify(&to, true, &Nobody).await.expect("verified");
    assert!(checked.is_sound() && checked.documents == 1, "{checked:?}");
    assert_eq!(checked.named, first.copied);
    // It was ended before its last object and its document.
    fs::remove_file(there.path().join(newest[0].path())).expect("removed");
    let pack = files(&there.path().join("v1/packs")).remove(0);
    fs::remove_file(&pack).expect("removed");
    let again = copy(&machine.objects, &to, &newest, &Nobody)
        .await
        .expect("copied");
    assert_eq!(
        (again.copied.objects, again.documents.len()),
        (1, 1),
        "{again:?}"
    );
    // What is damaged here is not copied.
    let pack = files(&here.path().join("v1/packs"))
        .into_iter()
        .find(|file| file.file_name() == pack.file_name());
    fs::write(pack.expect("it is here"), b"rubbish").expect("written");
    let third = tempfile::tempdir().expect("a folder");
    let damaged = copy(&machine.objects, &open(third.path()), &newest, &Nobody)
        .await
        .expect("copied");
    let left_out = damaged.left_out.len();
    assert_eq!(
        (damaged.documents.len(), left_out),
        (1 - left_out, left_out)
    );
    assert!(
        verify(&open(third.path()), true, &Nobody)
            .await
            .expect("verified")
            .is_sound()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_document_is_the_other_scopes_head_and_copies_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::new(folder.path(), "pull/7");
    let saved = machine
        .job(&mut Random::new(7), Duration::ZERO)
        .await
        .expect("saved");
    let main = Machine::new(folder.path(), "branch/main");
    let old = main
        .job(&mut Random::new(8), Duration::ZERO)
        .await
        .expect("saved");
    let documents = list(&machine.objects).await.expect("listed");
    let selection = Selection {
        scopes: Some(vec!["pull/7".to_owned()]),
        ..Selection::default()
    };
    let newest = selection.newest(&documents, now_ms()).expect("a head");
    let reader = Reader {
        machine: MachineId::of(b"here"),
        scope: "pull/7".to_owned(),
        job: "test".to_owned(),
        now_ms: now_ms(),
    };
    let before = files(folder.path()).len();
    for (dry_run, more) in [(true, 0), (false, 1)] {
        let promoted = promote(&machine.objects, newest[0], "branch/main", &reader, dry_run);
        let promoted = promoted.await.expect("promoted").expect("one");
        assert_eq!(promoted.from, saved.id.to_string());
        assert_eq!(files(folder.path()).len(), before + more);
    }
    let head = catalog::head::<Snapshot>(&main.objects, &old.document.lineage, now_ms()).await;
    let head = catalog::read(&main.objects, &head.expect("listed").expect("a head"))
        .await
        .expect("read");
    assert_eq!(
        (head.document.map, head.document.parent),
        (saved.document.map, Some(saved.id))
    );
    let documents = list(&machine.objects).await.expect("listed");
    let both: Vec<_> = documents
        .iter()
        .filter(|one| one.place().scope != "pull=2f7")
        .collect();
    remove(&machine.objects, &both).await.expect("removed");
    assert_eq!(list(&machine.objects).await.expect("listed").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_store_is_copied_to_verified_promoted_and_collected_like_any_other() {
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let plain = Machine::new(here.path(), "pull/7");
    let mut random = Random::new(11);
    for _ in 0..2 {
        plain.job(&mut random, Duration::ZERO).await.expect("saved");
    }
    let key = EncryptKey::generate().expect("random bytes");
    let sealed = open(there.path()).with_keys(Keys {
        encrypt: Some(key),
        ..Keys::default()
    });
    let documents = list(&plain.objects).await.expect("listed");
    let newest = Selection::default().newest(&documents, now_ms());
    let newest = newest.expect("a head");
    let copied = copy(&plain.objects, &sealed, &newest, &Nobody).await;
    assert_eq!(copied.expect("copied").documents.len(), 1);
    let checked = verify(&sealed, true, &Nobody).await.expect("verified");
    assert!(checked.is_sound() && checked.documents == 1, "{checked:?}");
    assert_eq!(checked.compared_bytes, checked.named.bytes);

    let machine = Machine {
        objects: sealed.clone(),
        ..Machine::new(there.path(), "branch/main")
    };
    let reader = Reader {
        machine: MachineId::of(b"here"),
        scope: "branch/main".into(),
        job: "build".into(),
        now_ms: now_ms(),
    };
    let here = list(&sealed).await.expect("listed");
    let promoted = promote(&sealed, &here[0], "branch/main", &reader, false).await;
    assert!(promoted.expect("promoted").is_some());
    for _ in 0..3 {
        machine
            .job(&mut random, Duration::ZERO)
            .await
            .expect("saved");
    }
    let only_heads = keeping(1, Duration::ZERO);
    let before = files(there.path()).len();
    let gone = [
        collect(&sealed, &only_heads).await,
        collect(&sealed, &only_heads).await,
    ];
    let checked = verify(&sealed, true, &Nobody).await.expect("verified");
    assert!(checked.is_sound() && checked.documents == 2, "{checked:?}");
    assert!(files(there.path()).len() < before, "{gone:?}");
    assert_eq!(
        files(&there.path().join("v1")),
        [] as [std::path::PathBuf; 0]
    );
}
