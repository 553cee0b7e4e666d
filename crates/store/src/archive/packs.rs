//! Frames as they are in the store's packs, and what was fetched so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use larder_model::address;
use larder_model::archive::{Part, PartRef};
use larder_model::frame::ChunkFrame;

use super::recipes;
use crate::error::StoreError;
use crate::objects::Objects;
use crate::source::Traffic;

/// Reads from a store, and counts. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Packs {
    objects: Objects,
    requests: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Packs {
    pub(super) fn new(objects: Objects) -> Self {
        Self {
            objects,
            requests: Arc::default(),
            bytes: Arc::default(),
        }
    }

    /// What was fetched so far.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// A frame, compressed.
    pub(super) async fn frame(&self, frame: ChunkFrame) -> Result<Bytes, StoreError> {
        let path = address::pack(frame.pack);
        let stored = self.objects.get_range(&path, frame.range()).await?;
        self.count(stored.len() as u64);
        Ok(stored)
    }

    /// A part of a recipe.
    pub(super) async fn part(&self, place: PartRef) -> Result<Part, StoreError> {
        self.count(place.stored_bytes);
        recipes::read(&self.objects, place).await
    }

    fn count(&self, bytes: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
