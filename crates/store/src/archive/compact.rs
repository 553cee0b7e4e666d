//! Whether little is still named of the packs that an archive is in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::StreamExt as _;
use larder_model::address;
use larder_model::archive::{Blob, PartRef, Place};
use larder_model::digest::PackId;
use larder_model::frame::ChunkFrame;

use super::recipes;
use crate::fetch::Fetcher;
use larder_objects::{Objects, StoreError};

/// Requests at once.
const READS: usize = 16;

/// Whether these blobs name less than so many percent of their packs.
pub(super) async fn is_scattered(
    objects: &Objects,
    blobs: &BTreeMap<String, Blob>,
    least: u64,
) -> Result<bool, StoreError> {
    let fetcher = Fetcher::new(objects.clone());
    let reads = parts(blobs)
        .into_iter()
        .map(|part| recipes::read(&fetcher, part));
    let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS);
    let mut seen: HashSet<(ChunkFrame, u32)> = HashSet::new();
    let mut named: HashMap<ChunkFrame, u64> = HashMap::new();
    while let Some(part) = reads.next().await {
        let part = part?;
        for chunk in part.chunks() {
            let frame = part.frames()[chunk.frame as usize];
            if seen.insert((frame, chunk.offset)) {
                *named.entry(frame).or_default() += u64::from(chunk.bytes);
            }
        }
    }
    let live = named.iter().map(|(frame, bytes)| {
        u64::from(frame.slot.stored_bytes) * bytes / u64::from(frame.slot.holds)
    });
    let packs: HashSet<PackId> = named.keys().map(|frame| frame.pack).collect();
    Ok(live.sum::<u64>() * 100 < size(objects, packs).await * least)
}

/// Stores for good what these blobs are in, before the archive is published, where a store must be told that.
pub(super) async fn settle(
    objects: &Objects,
    blobs: &BTreeMap<String, Blob>,
) -> Result<(), StoreError> {
    if !objects.is_told_names() {
        return Ok(());
    }
    let fetcher = Fetcher::new(objects.clone());
    let mut named = BTreeSet::new();
    for place in parts(blobs) {
        named.insert(address::recipes(place.object));
        let part = recipes::read(&fetcher, place).await?;
        named.extend(part.frames().iter().map(|frame| address::pack(frame.pack)));
    }
    objects.settle(&named).await
}

fn parts(blobs: &BTreeMap<String, Blob>) -> HashSet<PartRef> {
    let parts = blobs.values().filter_map(|blob| match &blob.place {
        Place::Recipe(parts) => Some(parts),
        Place::Inline(_) => None,
    });
    parts.flatten().copied().collect()
}

/// What these packs have together, as far as the store says it.
async fn size(objects: &Objects, packs: HashSet<PackId>) -> u64 {
    let paths = packs.into_iter().map(address::pack);
    let sizes = paths.map(|path| async move { objects.size(&path).await });
    let sizes = futures_util::stream::iter(sizes).buffer_unordered(READS);
    let sizes: Vec<Option<u64>> = sizes.collect().await;
    sizes.into_iter().flatten().sum()
}
