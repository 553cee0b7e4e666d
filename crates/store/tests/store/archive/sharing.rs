//! What is stored once, and what is not read again.

use futures_util::StreamExt as _;
use larder_model::archive::{Archive, Place};
use larder_model::ladder::Rung;
use larder_store::{ArchiveWriter, catalog};

use super::kit::{NOW, facts, lineage, load, load_by, noise, pieces, reader, save, store};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_is_found_and_reads_back() {
    let (_folder, objects) = store();
    let (large, odd) = (noise(1, 5_000_000), noise(2, 900));
    let blobs: [(&str, &[u8]); 4] = [
        ("blobs/sha256/large", &large),
        ("manifest.json", b"[{\"Config\":\"x\"}]"),
        ("odd", &odd),
        ("empty", b""),
    ];
    let saved = save(&objects, None, &blobs).await.expect("saved");
    let rung = Rung::Lineage(lineage());
    let candidates = catalog::candidates::<Archive>(&objects, &rung, NOW).await;
    let candidates = candidates.expect("a listing");
    assert_eq!(candidates.len(), 1);
    let found = catalog::read(&objects, &candidates[0]).await.expect("read");
    assert_eq!(found, saved);
    for (name, bytes) in blobs {
        let loaded = load(&objects, &found, name).await.expect("read");
        assert!(loaded == bytes, "{name}");
    }
    let inline = |name: &str| matches!(found.document.blobs[name].place, Place::Inline(_));
    assert!(inline("manifest.json") && inline("empty"));
    assert!(!inline("odd"), "what is no text is not in the document");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_parent_has_is_not_stored_again() {
    let (_folder, objects) = store();
    let large = noise(1, 6_000_000);
    let first = save(&objects, None, &[("a", &large)]).await.expect("saved");
    assert!(first.document.statistics.new_bytes == 6_000_000);

    let mut changed = large.clone();
    changed.splice(3_000_000..3_000_010, *b"something longer than before");
    let second = save(&objects, Some(&first), &[("b", &changed), ("c", &large)]).await;
    let second = second.expect("saved");
    let statistics = second.document.statistics;
    assert!(statistics.new_bytes < 700_000, "{statistics:?}");
    assert_eq!(statistics.read_bytes, (changed.len() + large.len()) as u64);
    assert_eq!(second.document.parent, Some(first.id));
    assert!(!second.document.sibling);
    assert!(load(&objects, &second, "b").await.expect("read") == changed);
    assert!(load(&objects, &second, "c").await.expect("read") == large);

    // The first one's head has moved on.
    let other = save(&objects, Some(&first), &[("a", &large)])
        .await
        .expect("saved");
    assert!(other.document.sibling);
    assert_eq!(other.document.statistics.new_chunks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_kept_costs_nothing() {
    let (folder, objects) = store();
    let large = noise(1, 3_000_000);
    let first = save(&objects, None, &[("layer", &large), ("config", b"{}")]).await;
    let first = first.expect("saved");
    let files = || walk(folder.path());
    let before = files();

    let mut writer = ArchiveWriter::new(objects.clone(), Some(first.clone()));
    assert_eq!(writer.has("layer"), Some(3_000_000));
    assert_eq!(writer.has("another"), None);
    assert!(writer.keep("layer") && writer.keep("config"));
    assert!(!writer.keep("another"));
    let second = writer
        .finish(facts(2_000_000_000_000))
        .await
        .expect("saved");
    assert_eq!(files(), before + 1, "only the document is new");
    assert_eq!(second.document.statistics.stored_bytes, 0);
    assert_eq!(second.document.statistics.kept_blobs, 2);
    assert_eq!(second.document.blobs, first.document.blobs);
    assert!(load(&objects, &second, "layer").await.expect("read") == large);
}

fn walk(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let count = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        if path.is_dir() { walk(&path) } else { 1 }
    };
    entries.map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_blobs_and_equal_stretches_are_stored_once() {
    let (_folder, objects) = store();
    let one = noise(7, 2_000_000);
    let twice = [one.clone(), one.clone()].concat();
    let saved = save(&objects, None, &[("a", &one), ("b", &one), ("c", &twice)]).await;
    let saved = saved.expect("saved");
    assert!(
        saved.document.statistics.new_bytes < 2_600_000,
        "{:?}",
        saved.document.statistics
    );
    assert!(load(&objects, &saved, "c").await.expect("read") == twice);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_not_what_was_announced_is_refused() {
    let (folder, objects) = store();
    let bytes = noise(1, 100_000);
    for (announced, says) in [(99_999, "more bytes"), (100_001, "1 bytes early")] {
        let mut writer = ArchiveWriter::new(objects.clone(), None);
        let error = writer.blob("layer", announced, pieces(&bytes, 7_000)).await;
        let error = error.expect_err("refused").to_string();
        assert!(
            error.contains("\"layer\"") && error.contains(says),
            "{error}"
        );
    }
    let mut writer = ArchiveWriter::new(objects.clone(), None);
    writer
        .blob("a", 5, pieces(b"12345", 2))
        .await
        .expect("saved");
    let twice = writer.blob("a", 5, pieces(b"12345", 2)).await;
    assert!(twice.expect_err("refused").to_string().contains("twice"));
    let unnamed = writer.blob("", 5, pieces(b"12345", 2)).await;
    assert!(
        unnamed
            .expect_err("refused")
            .to_string()
            .contains("0 bytes")
    );
    assert!(
        !folder.path().join("v1/archives").exists(),
        "nothing is published"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_blobs_make_the_same_objects() {
    let layer = noise(3, 20_000_000);
    let mut ids = Vec::new();
    for piece in [5_000, 900_000] {
        let (_folder, objects) = store();
        let mut writer = ArchiveWriter::new(objects, None);
        let stored = writer.blob("layer", layer.len() as u64, pieces(&layer, piece));
        stored.await.expect("stored");
        ids.push(writer.finish(facts(1)).await.expect("published").id);
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_no_reader_would_take_is_not_published() {
    let (folder, objects) = store();
    let writer = ArchiveWriter::new(objects, None);
    let mut facts = facts(1);
    facts.contents = serde_json::Value::String("x".repeat(17 << 20));
    let error = writer.finish(facts).await.expect_err("it is too large");
    assert!(error.to_string().contains("bytes"), "{error}");
    assert!(!folder.path().join("v1/archives").exists());
}

/// More than a reader keeps in memory for one blob.
const LARGE: usize = 40_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_blobs_share_is_fetched_once_where_there_is_a_scratch_file() {
    let (_folder, objects) = store();
    let large = noise(1, LARGE);
    let mut longer = large.clone();
    longer.extend(noise(2, 300_000));
    let blobs: [(&str, &[u8]); 2] = [("a", &large), ("b", &longer)];
    let saved = save(&objects, None, &blobs).await.expect("saved");

    let file = tempfile::tempfile().expect("a file");
    let kept = reader(&objects, &saved).with_scratch(file.try_clone().expect("a file"));
    let without = reader(&objects, &saved);
    for (name, bytes) in blobs {
        assert!(load_by(&kept, name).await.expect("read") == bytes, "{name}");
        assert!(
            load_by(&without, name).await.expect("read") == bytes,
            "{name}"
        );
    }
    let (once, twice) = (kept.traffic().bytes, without.traffic().bytes);
    assert!(once < LARGE as u64 * 11 / 10, "{once}");
    assert!(twice > LARGE as u64 * 19 / 10, "{twice}");

    // What can no longer be read there is fetched again.
    file.set_len(1000).expect("cut");
    assert!(load_by(&kept, "b").await.expect("read") == longer);
    assert!(kept.traffic().bytes > once + LARGE as u64 * 9 / 10);
}

/// A taker who takes one blob to its end before the other one's second piece: what the other one has
/// under way must not be what this one waits for.
#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_share_do_not_wait_for_each_others_takers() {
    let (_folder, objects) = store();
    let large = noise(1, LARGE);
    let mut longer = noise(2, 300_000);
    longer.extend(&large);
    let blobs: [(&str, &[u8]); 2] = [("a", &large), ("b", &longer)];
    let saved = save(&objects, None, &blobs).await.expect("saved");
    let file = tempfile::tempfile().expect("a file");
    let reader = reader(&objects, &saved).with_scratch(file);
    let mut first = reader.blob("a").expect("a blob");
    let mut taken = first.next().await.expect("a piece").expect("read").to_vec();
    let second = load_by(&reader, "b");
    let second = tokio::time::timeout(std::time::Duration::from_secs(60), second).await;
    assert!(second.expect("it waits for the other one").expect("read") == longer);
    while let Some(piece) = first.next().await {
        taken.extend(piece.expect("read"));
    }
    assert!(taken == large);
}
