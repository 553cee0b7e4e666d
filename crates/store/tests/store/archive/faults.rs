//! What is damaged is found and named, and never given out; what is interrupted is not visible.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use larder_model::archive::Archive;
use larder_model::ladder::Rung;
use larder_store::{ArchiveWriter, Found, Objects, StoreError, catalog};

use super::kit::{NOW, facts, lineage, load, noise, pieces, save, store};

fn objects_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

async fn read_all(objects: &Objects) -> Result<Vec<u8>, StoreError> {
    let rung = Rung::Lineage(lineage());
    let candidates = catalog::candidates::<Archive>(objects, &rung, NOW).await?;
    let found = catalog::read(objects, &candidates[0]).await?;
    load(objects, &found, "layer").await
}

/// Damages each object of a store in turn, and expects that reading says so.
async fn each_object(name: &str, damage: impl Fn(&mut Vec<u8>)) {
    let (folder, objects) = store();
    let layer = noise(1, 2_500_000);
    save(&objects, None, &[("layer", &layer)])
        .await
        .expect("saved");
    let files = objects_below(folder.path());
    assert_eq!(files.len(), 3, "a pack, an object of parts, a document");
    for file in files {
        let whole = fs::read(&file).expect("an object");
        let mut damaged = whole.clone();
        damage(&mut damaged);
        fs::write(&file, damaged).expect("damaged");
        let error = read_all(&objects).await.expect_err("damage is found");
        assert!(error.is_damage(), "{name}: {error}");
        let said = error.to_string();
        let object = file
            .strip_prefix(folder.path())
            .expect("below")
            .to_string_lossy()
            .into_owned();
        assert!(said.contains(&object), "{name}: {said} names {object}");
        fs::write(&file, whole).expect("mended");
        assert!(read_all(&objects).await.expect("whole again") == layer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_found() {
    each_object("in the middle", |bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 0x10;
    })
    .await;
    // The first frame of a pack, and the first part.
    each_object("near the start", |bytes| bytes[40] ^= 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_object_is_found() {
    each_object("cut", |bytes| bytes.truncate(bytes.len() / 3)).await;
    each_object("empty", Vec::clear).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_is_found() {
    let (folder, objects) = store();
    save(&objects, None, &[("layer", &noise(1, 500_000))])
        .await
        .expect("saved");
    for file in objects_below(folder.path()) {
        let aside = folder.path().join("aside");
        fs::rename(&file, &aside).expect("moved");
        if file.extension().is_none() {
            let error = read_all(&objects).await.expect_err("it is not there");
            assert!(matches!(error, StoreError::Missing { .. }), "{error}");
        }
        fs::rename(&aside, &file).expect("moved back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_before_the_damage_is_right() {
    use futures_util::StreamExt as _;
    let (folder, objects) = store();
    let layer = noise(1, 40_000_000);
    let saved = save(&objects, None, &[("layer", &layer)])
        .await
        .expect("saved");
    let packs = objects_below(&folder.path().join("v1/packs"));
    assert!(packs.len() > 1);
    // Which one is read first follows from its digest; the smallest is the last one.
    let last = packs
        .iter()
        .min_by_key(|pack| fs::metadata(pack).expect("there").len());
    fs::remove_file(last.expect("one")).expect("removed");
    let reader = larder_store::ArchiveReader::new(objects, saved.document.into());
    let mut stream = reader.blob("layer").expect("a blob");
    let mut given = Vec::new();
    let error = loop {
        match stream
            .next()
            .await
            .expect("it does not end without an error")
        {
            Ok(piece) => given.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert!(error.is_damage(), "{error}");
    assert!(!given.is_empty() && given.len() < layer.len());
    assert!(layer.starts_with(&given));
    assert!(stream.next().await.is_none(), "an error is the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_parent_costs_its_chunks_only() {
    let (folder, objects) = store();
    let layer = noise(1, 500_000);
    let parent = save(&objects, None, &[("layer", &layer)])
        .await
        .expect("saved");
    let parts = objects_below(&folder.path().join("v1/recipes"));
    fs::remove_file(&parts[0]).expect("removed");
    let saved = save(&objects, Some(&parent), &[("layer", &layer)])
        .await
        .expect("saved");
    assert_eq!(saved.document.statistics.new_bytes, 500_000);
    assert!(load(&objects, &saved, "layer").await.expect("read") == layer);
}

fn published(folder: &Path) -> usize {
    let archives = folder.join("v1/archives");
    if archives.exists() {
        objects_below(&archives).len()
    } else {
        0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_interrupted_is_not_visible() {
    let (folder, objects) = store();
    let layer = noise(1, 30_000_000);

    // The content fails half-way.
    let mut writer = ArchiveWriter::new(objects.clone(), None);
    let broken = pieces(&layer[..20_000_000], 50_000);
    let broken = futures_util::StreamExt::chain(
        broken,
        futures_util::stream::iter([Err(std::io::Error::other("the engine went away"))]),
    );
    let error = writer
        .blob("layer", 30_000_000, broken)
        .await
        .expect_err("refused");
    assert!(
        error.to_string().contains("the engine went away"),
        "{error}"
    );
    drop(writer);
    assert_eq!(published(folder.path()), 0);

    // The job is ended while a blob is read, and while it waits to finish.
    let mut writer = ArchiveWriter::new(objects.clone(), None);
    let stuck = futures_util::StreamExt::chain(
        pieces(&layer[..20_000_000], 50_000),
        futures_util::stream::pending::<Result<Bytes, std::io::Error>>(),
    );
    let blob = writer.blob("layer", 30_000_000, stuck);
    let ended = tokio::time::timeout(Duration::from_secs(2), blob).await;
    assert!(ended.is_err(), "it waits for the rest");
    let again = writer.blob("other", 5, pieces(b"12345", 5)).await;
    assert!(again.is_err(), "what was begun of the layer is in the way");
    assert!(writer.finish(facts(1)).await.is_err());
    assert_eq!(published(folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_fails_the_save_and_publishes_nothing() {
    let (folder, objects) = store();
    fs::create_dir_all(folder.path().join("v1")).expect("made");
    // A file where the folder of packs must be.
    fs::write(folder.path().join("v1/packs"), b"").expect("written");
    let error = save(&objects, None, &[("layer", &noise(1, 40_000_000))]).await;
    let error = error.expect_err("it cannot be stored");
    assert!(error.to_string().contains("v1/packs"), "{error}");
    assert_eq!(published(folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_lose_nothing() {
    let (folder, objects) = store();
    let parent = save(&objects, None, &[("layer", &noise(1, 400_000))])
        .await
        .expect("saved");
    let jobs: Vec<_> = (0..6_u64)
        .map(|job| {
            let (objects, parent) = (objects.clone(), parent.clone());
            tokio::spawn(async move {
                let mut layer = noise(1, 400_000);
                layer.extend(noise(100 + job % 3, 100_000));
                let saved: Found<Archive> = save(&objects, Some(&parent), &[("layer", &layer)])
                    .await
                    .expect("saved");
                assert!(load(&objects, &saved, "layer").await.expect("read") == layer);
                saved.id
            })
        })
        .collect();
    let mut ids = Vec::new();
    for job in jobs {
        ids.push(job.await.expect("no panic"));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(published(folder.path()), 1 + ids.len());
}
