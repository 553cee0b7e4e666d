//! Storing while the job runs: what is written again afterwards is stored again, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use larder_model::habit::Reads;
use larder_model::limits::BLOCK_BYTES;
use larder_store::packer::{self, Changed, Early, Job};
use larder_store::{FetchedBlock, Location, Source};

const VOLUME_BYTES: u64 = 1 << 28;

fn fill(block: u64, version: u64, buffer: &mut [u8]) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&block.to_le_bytes());
    hasher.update(&version.to_le_bytes());
    hasher.finalize_xof().fill(buffer);
}

/// Versions of blocks, read as a job reads its disk.
fn reader(
    blocks: &BTreeMap<u64, u64>,
) -> impl Fn(u64, &mut [u8]) -> std::io::Result<()> + Clone + Send + Sync + 'static {
    let blocks = blocks.clone();
    move |block, buffer: &mut [u8]| {
        fill(block, blocks[&block], buffer);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_content_counts_and_the_rest_is_stored_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Location::folder(folder.path()).open(&[]).expect("a store");
    let source = Source::empty(objects.clone(), VOLUME_BYTES).expect("a fair size");
    let source = Arc::new(source);
    let mut blocks: BTreeMap<u64, u64> = (0..200).map(|block| (block, 1)).collect();
    let mut early = Early::default();
    let all: Vec<u64> = blocks.keys().copied().collect();
    early
        .store(&source, all, reader(&blocks))
        .await
        .expect("stored");
    // Some are written again, of which some are stored early again; one becomes zero.
    for block in 50..90 {
        blocks.insert(block, 2);
    }
    let again: Vec<u64> = (50..70).collect();
    early
        .store(&source, again, reader(&blocks))
        .await
        .expect("stored");
    let untouched = (0..70).chain(90..199);
    let job = Job {
        changed: Changed {
            // 500 was begun and never stored: it is only said to be as it was.
            early: untouched.chain([500]).collect(),
            written: (70..90).collect(),
            zeroed: vec![199],
        },
        early,
        ..Job::default()
    };
    blocks.insert(500, 1);
    blocks.remove(&199);
    let packed = packer::pack(&source, job, reader(&blocks), Arc::default()).await;
    let packed = packed.expect("stored");
    assert_eq!(packed.used_change, 200);
    assert_eq!(packed.new_blocks, 200 + 20 + 21);
    let stored = packed.stored_bytes / BLOCK_BYTES as u64;
    assert!((241..246).contains(&stored), "{stored} blocks are stored");
    let opened = Source::open(objects, packed.map, packed.hot).await;
    let opened = opened.expect("just stored");
    for block in (0..210).chain([500]) {
        let fetched = opened.fetch(block).await.expect("it is stored");
        let found = fetched.iter().find(|one| one.block == block);
        let mut expected = vec![0; BLOCK_BYTES];
        match blocks.get(&block) {
            Some(version) => fill(block, *version, &mut expected),
            None => assert!(found.is_none(), "block {block} is zero"),
        }
        assert!(
            found.is_none_or(|one| one.content == expected),
            "block {block}"
        );
        assert_eq!(
            found.is_some(),
            blocks.contains_key(&block),
            "block {block}"
        );
    }
}

/// What a job read is stored together while it runs, and its end names those packs: it stores the rest alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_stored_together_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Location::folder(folder.path()).open(&[]).expect("a store");
    let source = Source::empty(objects.clone(), VOLUME_BYTES).expect("a fair size");
    let blocks: BTreeMap<u64, u64> = (0..300).map(|block| (block, 1)).collect();
    let first = Job {
        changed: Changed {
            written: blocks.keys().copied().collect(),
            ..Changed::default()
        },
        ..Job::default()
    };
    let packed = packer::pack(&Arc::new(source), first, reader(&blocks), Arc::default()).await;
    let packed = packed.expect("stored");
    let source = Source::open(objects.clone(), packed.map, None).await;
    let source = Arc::new(source.expect("just stored"));
    for block in (0..300).step_by(16) {
        source.fetch(block).await.expect("it is stored");
    }
    let mut early = Early::default();
    let mut reads = Reads {
        blocks: (0..100).rev().collect(),
        at_start: 0,
    };
    for min in [101, 100, 1] {
        let copied = early.copy(&source, &reads, min, reader(&blocks)).await;
        copied.expect("stored");
    }
    reads.blocks.extend(100..300);
    let job = Job {
        reads: reads.clone(),
        early,
        ..Job::default()
    };
    let packed = packer::pack(&source, job, reader(&blocks), Arc::default()).await;
    let packed = packed.expect("stored");
    let stored = packed.stored_bytes / BLOCK_BYTES as u64;
    assert!((300..305).contains(&stored), "{stored} blocks are stored");
    let next = Source::open(objects, packed.map, packed.hot).await;
    let next = next.expect("just stored");
    let came = parking_lot::Mutex::new(BTreeSet::new());
    for block in 0..300 {
        let take = |one: &FetchedBlock| {
            came.lock().insert(one.block);
            Ok(())
        };
        next.bring(block, take).await;
    }
    assert_eq!(came.lock().len(), 300, "all of it is on the list");
}
