//! Stores that are encrypted: what can be seen of them, with which keys, and what comes of what is changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_model::archive::Archive;
use larder_model::digest::SnapshotId;
use larder_model::mark::Fault;
use larder_model::snapshot::Snapshot;
use larder_store::catalog::{self, Found};
use larder_store::{EncryptKey, Keys, Location, Objects, Source, StoreError, images};
use tokio::sync::Barrier;

use super::archive::kit as archive;
use super::catalogue::reader;
use super::format::{self, files};

fn key() -> EncryptKey {
    EncryptKey::generate().expect("random bytes")
}

fn open(folder: &Path, key: Option<&EncryptKey>) -> Objects {
    let objects = Location::folder(folder).open(&[]).expect("a store");
    objects.with_keys(Keys {
        encrypt: key.cloned(),
        ..Keys::default()
    })
}

/// A text that is no tar, so that it is stored as it is as far as zstd leaves it.
const TEXT: &str = "Only whoever has the key can read this. ";

/// A store with one object of each kind.
async fn filled(folder: &Path, key: Option<&EncryptKey>) -> Objects {
    let objects = open(folder, key);
    format::save(&objects).await;
    let blob = TEXT.repeat(3_000);
    let blobs: [(&str, &[u8]); 2] = [
        ("config.json", b"{\"os\":\"linux\"}"),
        ("text", blob.as_bytes()),
    ];
    let saved = archive::save(&objects, None, &blobs).await;
    saved.expect("it is stored");
    let marked = SnapshotId::of(b"another");
    reader("here", "main")
        .mark(&objects, marked, Fault::Damage, "It is cut.")
        .await;
    objects
}

/// Reads all that there is: what was saved, or the first error.
async fn read_all(objects: &Objects) -> Result<(), StoreError> {
    let (snapshots, mut faults) = catalog::list::<Snapshot>(objects).await?;
    let (archives, others) = catalog::list::<Archive>(objects).await?;
    faults.extend(others);
    if let Some(fault) = faults.pop() {
        return Err(fault);
    }
    let [Found { document, .. }] = &snapshots[..] else {
        return Err(missing("snapshot"));
    };
    let [archive] = &archives[..] else {
        return Err(missing("archive"));
    };
    let source = Source::open(objects.clone(), document.map, None).await?;
    for block in [0, 1, 5] {
        for fetched in source.fetch(block).await?.iter() {
            assert!(
                fetched.content.starts_with(b"An engine")
                    || fetched.content.starts_with(b"Only changed")
            );
        }
    }
    let hot = document.hot.expect("a hot list");
    larder_store::closure::hot(objects, hot, 16).await?;
    let text = archive::load(objects, archive, "text").await?;
    assert!(text.starts_with(TEXT.as_bytes()));
    let images = images::newest(objects, "github.com/shop/web", archive::NOW).await?;
    if images.is_empty() {
        return Err(missing("list of images"));
    }
    match catalog::marks(objects).await?.len() {
        1 => Ok(()),
        _ => Err(missing("mark")),
    }
}

fn missing(path: &str) -> StoreError {
    StoreError::Missing {
        path: path.to_owned(),
    }
}

fn locked(error: &StoreError) -> String {
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(!error.is_damage() && !error.may_pass());
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_store_shows_neither_content_nor_names() {
    let (plain, sealed) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    filled(plain.path(), None).await;
    let key = key();
    let objects = filled(sealed.path(), Some(&key)).await;
    read_all(&objects).await.expect("it reads back");
    read_all(&open(sealed.path(), Some(&key)))
        .await
        .expect("another machine reads it");

    let mut words: Vec<String> = [
        "An engine that",
        "Only changed",
        "Only whoever",
        "LARDERPK",
        "LARDERLF",
        "LARDERMP",
    ]
    .map(str::to_owned)
    .into();
    words.extend(
        [
            "LARDERHL",
            "LARDERIM",
            "\"lineage\"",
            "shop",
            "linux-x86",
            "ruby",
            "It is cut",
        ]
        .map(str::to_owned),
    );
    words.extend(["/main", "/build", "branch"].map(str::to_owned));
    let plain_files = files(plain.path());
    for file in &plain_files {
        let name = file.file_name().expect("a name").to_string_lossy();
        words.extend(
            name.split(['-', '.'])
                .filter(|part| part.len() == 64)
                .map(str::to_owned),
        );
    }
    assert!(words.len() > 20, "{words:?}");
    // The same number of objects, and the list of keys.
    let sealed_files = files(sealed.path());
    assert_eq!(sealed_files.len(), plain_files.len() + 1);
    for file in sealed_files {
        let shown = file
            .strip_prefix(sealed.path())
            .expect("below")
            .to_string_lossy()
            .into_owned();
        let bytes = fs::read(&file).expect("an object");
        for word in &words {
            assert!(!shown.contains(word.as_str()), "{shown}: {word}");
            let is_in = bytes
                .windows(word.len())
                .any(|bytes| bytes == word.as_bytes());
            assert!(!is_in, "{shown} holds {word}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_objects_are_sealed_to_equal_bytes_under_equal_names() {
    let (sealed, key) = (tempfile::tempdir().expect("a folder"), key());
    filled(sealed.path(), Some(&key)).await;
    let all = || -> Vec<_> {
        let files = files(sealed.path()).into_iter();
        files
            .map(|file| (fs::read(&file).expect("an object"), file))
            .collect()
    };
    let before = all();
    format::save(&open(sealed.path(), Some(&key))).await;
    assert!(before == all(), "it was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_missing_key_is_said_before_anything_is_read_or_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (key(), key());
    filled(folder.path(), Some(&first)).await;
    let before = files(folder.path());
    for (key, said) in [
        (None, "--encrypt-key or LARDER_ENCRYPT_KEY"),
        (Some(&second), "have it added"),
    ] {
        let objects = open(folder.path(), key);
        assert!(locked(&read_all(&objects).await.expect_err("locked")).contains(said));
        let put = objects.put("v1/maps/00", b"x".to_vec()).await;
        assert!(locked(&put.expect_err("locked")).contains(said));
        assert!(locked(&objects.entries("v1").await.expect_err("locked")).contains(said));
        assert!(
            locked(
                &objects
                    .delete(&["v1/maps/00".to_owned()])
                    .await
                    .expect_err("locked")
            )
            .contains(said)
        );
    }
    assert_eq!(before, files(folder.path()), "no mark, and nothing else");

    let plain = tempfile::tempdir().expect("a folder");
    filled(plain.path(), None).await;
    let before = files(plain.path());
    let sealing = open(plain.path(), Some(&first));
    assert!(
        locked(&read_all(&sealing).await.expect_err("plain"))
            .contains("larder cp --to-encrypt-key")
    );
    let put = sealing.put("v1/maps/00", b"x".to_vec()).await;
    locked(&put.expect_err("plain"));
    assert_eq!(before, files(plain.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_without_an_object_being_written_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (key(), key());
    let objects = filled(folder.path(), Some(&old)).await;
    let ring = folder.path().join(larder_model::sealed::RING);
    let others = || -> Vec<(PathBuf, Vec<u8>)> {
        let files = files(folder.path())
            .into_iter()
            .filter(|file| *file != ring);
        files
            .map(|file| (file.clone(), fs::read(file).expect("an object")))
            .collect()
    };
    let before = others();
    assert_eq!(
        objects.rekey(None, false).await.expect("listed"),
        [old.id()]
    );
    assert_eq!(
        objects.rekey(Some(&new), false).await.expect("added"),
        [old.id(), new.id()]
    );
    for key in [&old, &new] {
        read_all(&open(folder.path(), Some(key)))
            .await
            .expect("both open it");
    }
    let with_new = open(folder.path(), Some(&new));
    assert_eq!(with_new.rekey(None, true).await.expect("alone"), [new.id()]);
    read_all(&open(folder.path(), Some(&new)))
        .await
        .expect("the new one opens it");
    locked(
        &read_all(&open(folder.path(), Some(&old)))
            .await
            .expect_err("the old one does not"),
    );
    locked(
        &open(folder.path(), Some(&old))
            .rekey(Some(&old), true)
            .await
            .expect_err("nor this"),
    );
    assert_eq!(before, others());
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_begin_a_store_at_once_have_one_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = key();
    let all_have_looked = Arc::new(Barrier::new(16));
    let writers = (0..16_u8).map(|at| {
        let objects = open(folder.path(), Some(&key));
        let all_have_looked = Arc::clone(&all_have_looked);
        tokio::spawn(async move {
            assert!(objects.folders("v1", 9).await.expect("listed").is_empty());
            all_have_looked.wait().await;
            let path = format!("v1/maps/{at:064x}");
            objects.put(&path, vec![at]).await.expect("stored");
            path
        })
    });
    for (at, writer) in (0_u8..).zip(writers.collect::<Vec<_>>()) {
        let path = writer.await.expect("no panic");
        let found = open(folder.path(), Some(&key)).get(&path, 9).await;
        assert_eq!(found.expect("read"), [at][..]);
    }
}

/// Puts bytes where an object is, and says what comes of reading everything; then puts it back.
async fn with_bytes(
    folder: &Path,
    key: &EncryptKey,
    file: &Path,
    bytes: &[u8],
) -> Option<StoreError> {
    let honest = fs::read(file).expect("an object");
    fs::write(file, bytes).expect("written");
    let read = read_all(&open(folder, Some(key))).await;
    fs::write(file, honest).expect("written");
    read.err()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_cut_or_swapped_is_damaged_whatever_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = key();
    filled(folder.path(), Some(&key)).await;
    let ring = folder.path().join(larder_model::sealed::RING);
    let all = files(folder.path());
    assert_eq!(all.len(), 11, "{all:?}");
    for file in all.iter().filter(|file| **file != ring) {
        let honest = fs::read(file).expect("an object");
        let mut flips: Vec<usize> = [0, 11, 12, honest.len() / 2, honest.len() - 1].into();
        flips.dedup();
        let mut forged: Vec<Vec<u8>> = flips
            .into_iter()
            .map(|at| {
                let mut flipped = honest.clone();
                flipped[at] ^= 4;
                flipped
            })
            .collect();
        forged.push(honest[..honest.len() - 1].to_vec());
        forged.push(Vec::new());
        forged.push([&honest[..], b"x"].concat());
        // Valid ciphertext of another place.
        let another = all.iter().filter(|other| *other != file && **other != ring);
        forged.extend(another.map(|other| fs::read(other).expect("an object")));
        for bytes in forged {
            let error = with_bytes(folder.path(), &key, file, &bytes).await;
            let error = error.unwrap_or_else(|| panic!("{} was believed", file.display()));
            assert!(
                error.is_damage() && !error.to_string().contains("key"),
                "{}: {error}",
                file.display()
            );
        }
    }
    // Without its list of keys nothing is known of a store; that is no fault of a document.
    let mut flipped = fs::read(&ring).expect("the list");
    flipped[20] ^= 1;
    let error = with_bytes(folder.path(), &key, &ring, &flipped)
        .await
        .expect("nothing is read");
    assert!(
        error.may_pass() && error.to_string().contains("put back a copy"),
        "{error}"
    );
    read_all(&open(folder.path(), Some(&key)))
        .await
        .expect("all is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_range_of_a_sealed_object_is_that_of_a_plain_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = open(folder.path(), Some(&key()));
    let content = archive::noise(7, 50_000);
    objects
        .put("v1/maps/00", content.clone())
        .await
        .expect("stored");
    for (start, end) in [
        (0, 1),
        (0, 8192),
        (8191, 8193),
        (8192, 16384),
        (1, 49_999),
        (49_999, 50_000),
        (0, 50_000),
    ] {
        let read = objects
            .get_range("v1/maps/00", start..end)
            .await
            .expect("read");
        assert_eq!(read, content[start as usize..end as usize]);
    }
    assert_eq!(objects.size("v1/maps/00").await, Some(50_000));
    assert_eq!(
        objects.get("v1/maps/00", 50_000).await.expect("read"),
        content
    );
    assert!(
        objects
            .get("v1/maps/00", 40_000)
            .await
            .expect_err("too long")
            .is_damage()
    );
    for range in [49_999..50_001, 60_000..60_001, 100_000..200_000] {
        let error = objects
            .get_range("v1/maps/00", range)
            .await
            .expect_err("beyond the end");
        assert!(
            error.is_damage() && error.to_string().contains("cut short"),
            "{error}"
        );
    }
    let entries = objects.entries("v1/maps").await.expect("listed");
    assert_eq!(
        (entries[0].path.as_str(), entries[0].bytes),
        ("v1/maps/00", 50_000)
    );
    assert_eq!(objects.walk("v1", 9).await.expect("listed"), ["v1/maps/00"]);
    objects
        .delete(&["v1/maps/00".to_owned()])
        .await
        .expect("removed");
    assert!(objects.entries("v1").await.expect("listed").is_empty());
}
