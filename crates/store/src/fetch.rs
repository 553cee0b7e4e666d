//! Reading from a store, counted.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use larder_model::address;
use larder_model::frame::ChunkFrame;

use crate::error::StoreError;
use crate::objects::Objects;

/// What was fetched so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests made.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
}

/// Reads from a store, and counts what came. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    objects: Objects,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
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
        Traffic {
            requests: self.counts.requests.load(Ordering::Relaxed),
            bytes: self.counts.bytes.load(Ordering::Relaxed),
        }
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
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        self.counts
            .bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}
