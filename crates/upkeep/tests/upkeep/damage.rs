//! What verification finds, and what a repair drops.

use std::fs;
use std::time::Duration;

use larder_local::people::Nobody;
use larder_model::address;
use larder_model::document::Document as _;
use larder_model::snapshot::Snapshot;
use larder_store::{Objects, Source, catalog};
use larder_upkeep::verify::{repair, verify};

use crate::kit::{Machine, Random};

/// The packs that a snapshot names.
async fn packs_of(objects: &Objects, snapshot: &Snapshot) -> Vec<String> {
    let source = Source::open(objects.clone(), snapshot.map, None)
        .await
        .expect("it opens");
    let mut packs = Vec::new();
    for index in source
        .root()
        .leaves()
        .map(|(index, _)| index)
        .collect::<Vec<_>>()
    {
        let leaf = source
            .leaf(index)
            .await
            .expect("a leaf")
            .expect("it is there");
        packs.extend(leaf.frames().map(|frame| address::pack(frame.pack)));
    }
    packs
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_told_and_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random::new(3);
    for scope in ["main", "other"] {
        let machine = Machine::new(folder.path(), scope);
        for _ in 0..3 {
            machine
                .job(&mut random, Duration::ZERO)
                .await
                .expect("saved");
        }
    }
    let objects = crate::kit::open(folder.path());
    let (found, _) = catalog::list::<Snapshot>(&objects).await.expect("listed");
    let main: Vec<_> = found
        .iter()
        .filter(|one| one.document.lineage.scope == "main")
        .collect();
    let newest = &main[0].document;
    let path = |path: String| folder.path().join(path);

    let sound = verify(&objects, true, &Nobody).await.expect("verified");
    assert!(
        sound.is_sound() && sound.compared_bytes == sound.named.bytes,
        "{sound:?}"
    );

    let packs = packs_of(&objects, newest).await;
    // A bit in a pack that the newest of main names: only `--data` sees it.
    let pack = path(packs[0].clone());
    let mut bytes = fs::read(&pack).expect("a pack");
    bytes[40] ^= 1;
    fs::write(&pack, &bytes).expect("written");
    assert!(
        verify(&objects, false, &Nobody)
            .await
            .expect("verified")
            .is_sound()
    );
    let flipped = verify(&objects, true, &Nobody).await.expect("verified");
    assert!(
        !flipped.lost.is_empty() && flipped.damaged.contains_key(&packs[0]),
        "{flipped:?}"
    );

    // Cut, it is seen by its size; the map of another document is gone, and of a third the hot list.
    fs::write(&pack, &bytes[..20]).expect("written");
    let other = found
        .iter()
        .find(|one| one.document.lineage.scope == "other")
        .expect("one");
    fs::remove_file(path(address::map(other.document.map))).expect("removed");
    let mut quick = verify(&objects, false, &Nobody).await.expect("verified");
    assert!(quick.damaged[&packs[0]].contains("cut short"), "{quick:?}");
    let lost: Vec<&str> = quick.lost.iter().map(|lost| lost.document.path()).collect();
    assert!(lost.contains(&&*other.document.path(other.id)), "{lost:?}");
    let whole = quick.documents - quick.lost.len();
    repair(&objects, &mut quick).await.expect("repaired");
    let after = verify(&objects, true, &Nobody).await.expect("verified");
    assert!(after.is_sound(), "{after:?}");
    assert_eq!(after.documents, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_hot_list_costs_time_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::new(folder.path(), "main");
    let saved = machine
        .job(&mut Random::new(3), Duration::ZERO)
        .await
        .expect("saved");
    let hot = address::hot(saved.document.hot.expect("it read something"));
    fs::write(folder.path().join(&hot), b"rubbish").expect("written");
    let checked = verify(&machine.objects, true, &Nobody)
        .await
        .expect("verified");
    assert!(
        checked.is_sound() && checked.slower.len() == 1,
        "{checked:?}"
    );
    assert!(checked.damaged.contains_key(&hot));
}
