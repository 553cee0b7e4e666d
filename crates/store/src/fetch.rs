//! Reading from a store, counted.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use larder_model::address;
use larder_model::digest::BlockId;
use larder_model::frame::ChunkFrame;
use parking_lot::Mutex;

use larder_objects::Objects;
use larder_objects::StoreError;

/// What was fetched so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests made.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
}

/// A block that was read from the store and found to hold what the map says.
#[derive(Debug, Clone)]
pub struct FetchedBlock {
    /// Its place in the volume.
    pub block: u64,
    /// Its content: 64 KiB.
    pub content: Bytes,
}

impl FetchedBlock {
    /// A block that holds what it should; else what is wrong.
    pub(crate) fn verified(block: u64, id: BlockId, content: Bytes) -> Result<Self, String> {
        if BlockId::of(&content) == id {
            Ok(Self { block, content })
        } else {
            Err(format!("block {block} does not have its digest"))
        }
    }
}

/// Reads from a store, and counts what came. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    objects: Objects,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    traffic: Traffic,
    /// What the fastest request took: about a round trip.
    nearest: Option<Duration>,
}

impl Fetcher {
    pub(crate) fn new(objects: Objects) -> Self {
        Self {
            objects,
            counts: Arc::default(),
        }
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let mut traffic = self.counts.lock().traffic;
        traffic.requests += self.objects.asked_again();
        traffic
    }

    /// What the fastest request took; nothing is faster than what was not asked yet.
    pub(crate) fn nearest(&self) -> Duration {
        self.counts.lock().nearest.unwrap_or_default()
    }

    /// A whole object of at most `max_bytes`.
    pub(crate) async fn whole(&self, path: &str, max_bytes: usize) -> Result<Bytes, StoreError> {
        let begun = Instant::now();
        let bytes = self.objects.get(path, max_bytes).await?;
        self.count(&bytes, begun);
        Ok(bytes)
    }

    /// A range of an object.
    pub(crate) async fn range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let begun = Instant::now();
        let bytes = self.objects.get_range(path, range).await?;
        self.count(&bytes, begun);
        Ok(bytes)
    }

    /// A frame of chunks, compressed as it rests in its pack.
    pub(crate) async fn frame(&self, frame: ChunkFrame) -> Result<Bytes, StoreError> {
        self.range(&address::pack(frame.pack), frame.range()).await
    }

    fn count(&self, bytes: &Bytes, begun: Instant) {
        let mut counts = self.counts.lock();
        counts.traffic.requests += 1;
        counts.traffic.bytes += bytes.len() as u64;
        let took = begun.elapsed();
        counts.nearest = Some(counts.nearest.map_or(took, |nearest| nearest.min(took)));
    }
}
