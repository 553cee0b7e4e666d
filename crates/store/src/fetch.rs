//! Reading from a store, counted.

use std::ops::Range;
use std::sync::Arc;

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
    counts: Arc<Mutex<Traffic>>,
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
        *self.counts.lock()
    }

    /// A whole object of at most `max_bytes`.
    pub(crate) async fn whole(&self, path: &str, max_bytes: usize) -> Result<Bytes, StoreError> {
        let bytes = self.objects.get(path, max_bytes).await?;
        self.count(&bytes);
        Ok(bytes)
    }

    /// A range of an object.
    pub(crate) async fn range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let bytes = self.objects.get_range(path, range).await?;
        self.count(&bytes);
        Ok(bytes)
    }

    /// A frame of chunks, compressed as it rests in its pack.
    pub(crate) async fn frame(&self, frame: ChunkFrame) -> Result<Bytes, StoreError> {
        self.range(&address::pack(frame.pack), frame.range()).await
    }

    fn count(&self, bytes: &Bytes) {
        let mut counts = self.counts.lock();
        counts.requests += 1;
        counts.bytes += bytes.len() as u64;
    }
}
