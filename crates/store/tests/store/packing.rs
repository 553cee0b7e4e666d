//! Any sequence of writes and discards gives a map that reads back the same, and only the leaves
//! that were touched change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use larder_model::digest::MapId;
use larder_model::limits::{BLOCK_BYTES, LEAF_BLOCKS};
use larder_model::map::leaf_of;
use larder_store::packer::{Changed, Job, Packed};
use larder_store::{Location, Objects, Source, packer};
use proptest::prelude::*;

const LEAVES: u64 = 5;
const VOLUME_BYTES: u64 = LEAVES * (LEAF_BLOCKS * BLOCK_BYTES) as u64;

/// What a block holds in these tests: nothing, or bytes that follow from a seed. Equal seeds make
/// equal blocks, so that dedupe has something to find.
type Content = Option<u8>;

fn fill(content: Content, buffer: &mut [u8]) {
    buffer.fill(0);
    let Some(seed) = content else { return };
    let pattern: Vec<u8> = (0..251).map(|at| seed.wrapping_add(at / 7) ^ at).collect();
    for part in buffer.chunks_mut(pattern.len()) {
        part.copy_from_slice(&pattern[..part.len()]);
    }
}

async fn open(objects: &Objects, map: Option<MapId>) -> Arc<Source> {
    let source = match map {
        Some(map) => Source::open(objects.clone(), map, None).await,
        None => Source::empty(objects.clone(), VOLUME_BYTES),
    };
    Arc::new(source.expect("a source"))
}

async fn pack(source: &Arc<Source>, step: &BTreeMap<u64, Content>) -> Packed {
    let mut changed = Changed::default();
    for (block, content) in step {
        // Zeros are found both ways: written as zeros, or known to be discarded.
        match content {
            None if block % 2 == 0 => changed.zeroed.push(*block),
            _ => changed.written.push(*block),
        }
    }
    let job = Job {
        changed,
        ..Job::default()
    };
    let contents = step.clone();
    let read = move |block: u64, buffer: &mut [u8]| {
        fill(contents[&block], buffer);
        Ok(())
    };
    let packed = packer::pack(source, job, read, Arc::default()).await;
    packed.expect("packing into a folder works")
}

async fn check(source: &Source, model: &BTreeMap<u64, u8>, block: u64) {
    let fetched = source.fetch(block).await.expect("a block that was stored");
    let mut expected = vec![0; BLOCK_BYTES];
    fill(model.get(&block).copied(), &mut expected);
    match fetched.iter().find(|fetched| fetched.block == block) {
        Some(fetched) => assert!(fetched.content == expected, "block {block}"),
        None => assert!(!model.contains_key(&block), "block {block} is not there"),
    }
}

fn steps() -> impl Strategy<Value = Vec<Vec<(u64, Content)>>> {
    let block = 0..LEAVES * LEAF_BLOCKS as u64;
    let near = (0..LEAVES, 0_u64..40).prop_map(|(leaf, at)| leaf * LEAF_BLOCKS as u64 + at);
    let change = (
        prop_oneof![block, near],
        prop::option::weighted(0.8, 0_u8..6),
    );
    prop::collection::vec(prop::collection::vec(change, 0..60), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_reads_back(steps in steps()) {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Location::folder(folder.path()).open(&[]).expect("a store");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut model = BTreeMap::new();
            let mut map = None;
            for step in steps {
                let step: BTreeMap<u64, Content> = step.into_iter().collect();
                let source = open(&objects, map).await;
                let before = model.len().cast_signed() as i64;
                for (block, content) in &step {
                    match content {
                        Some(seed) => model.insert(*block, *seed),
                        None => model.remove(block),
                    };
                }
                let packed = pack(&source, &step).await;
                assert_eq!(packed.used_change, model.len().cast_signed() as i64 - before);
                let after = open(&objects, Some(packed.map)).await;
                let touched: BTreeSet<u32> = step.keys().map(|block| leaf_of(*block).0).collect();
                for index in (0..LEAVES as u32).filter(|index| !touched.contains(index)) {
                    assert_eq!(after.root().leaf(index), source.root().leaf(index));
                }
                for block in model.keys().chain(step.keys()) {
                    check(&after, &model, *block).await;
                }
                map = Some(packed.map);
            }
        });
    }
}

#[tokio::test]
async fn equal_blocks_are_stored_once_and_known_ones_not_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Location::folder(folder.path()).open(&[]).expect("a store");
    let all: BTreeMap<u64, Content> = (0..500).map(|block| (block, Some(1))).collect();
    let first = pack(&open(&objects, None).await, &all).await;
    assert_eq!((first.new_blocks, first.used_change), (1, 500));

    let source = open(&objects, Some(first.map)).await;
    let moved: BTreeMap<u64, Content> = (300..303).map(|block| (block + 900, Some(1))).collect();
    source
        .fetch(0)
        .await
        .expect("the parent's leaf is read by now");
    let second = pack(&source, &moved).await;
    assert_eq!((second.new_blocks, second.used_change), (0, 3));

    let source = open(&objects, Some(second.map)).await;
    let same = pack(&source, &all).await;
    assert_eq!((same.map, same.new_blocks), (second.map, 0));
}
