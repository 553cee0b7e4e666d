//! Damage in the store is found before it is exposed, and a volume that met it is not saved.

use std::fs;
use std::path::Path;

use crate::kit::{Machine, Store};

/// Damages a file in so many places that no part of 400 bytes is left whole.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.iter_mut().step_by(400).for_each(|byte| *byte ^= 1);
    fs::write(path, bytes).unwrap();
}

async fn saved() -> (Store, larder_model::digest::MapId) {
    let store = Store::new();
    let machine = Machine::open(store.source(None).await.unwrap())
        .await
        .unwrap();
    machine
        .shell("head -c 30000000 /dev/urandom > big")
        .unwrap();
    let saved = machine.save().await.unwrap();
    (store, saved.map)
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_a_pack_is_an_error_and_no_save() {
    let (store, map) = saved().await;
    // Mounting reads the metadata; the file's content is damaged after that.
    let machine = Machine::open(store.source(Some(map)).await.unwrap())
        .await
        .unwrap();
    store.files("packs").iter().for_each(|path| damage(path));
    let error = machine.shell("cat big > /dev/null").unwrap_err();
    assert!(error.contains("Input/output error"), "{error}");
    let fault = machine.volume.fault().expect("a fault");
    assert!(fault.damage, "{fault:?}");
    let error = machine.save().await.unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_cut_packs_do_not_mount() {
    for cut in [true, false] {
        let (store, map) = saved().await;
        for pack in store.files("packs") {
            if cut {
                fs::write(&pack, &fs::read(&pack).unwrap()[..20]).unwrap();
            } else {
                fs::remove_file(&pack).unwrap();
            }
        }
        let source = store.source(Some(map)).await.unwrap();
        let error = Machine::open(source)
            .await
            .err()
            .expect("no volume")
            .to_string();
        assert!(error.contains("v1/packs/"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_map_does_not_open() {
    let (store, map) = saved().await;
    store.files("leaves").iter().for_each(|path| damage(path));
    let source = store.source(Some(map)).await.unwrap();
    assert!(Machine::open(source).await.is_err());
    store.files("maps").iter().for_each(|path| damage(path));
    let error = store
        .source(Some(map))
        .await
        .expect_err("no map")
        .to_string();
    assert!(error.contains("v1/maps/"), "{error}");
}
