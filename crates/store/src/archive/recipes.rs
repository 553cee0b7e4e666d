//! Recipe parts in the store: gathered into objects, and read back.

use std::sync::Arc;

use larder_model::address;
use larder_model::archive::{Part, PartRef};
use larder_model::digest::{PartId, RecipesId};
use larder_model::limits::{PART_MAX_BYTES, RECIPES_BYTES};

use crate::codec::{self, Pool};
use crate::fetch::{Fetcher, Piece};
use larder_objects::{Objects, StoreError, blocking};

/// Writes the parts of one save, many to an object.
pub(super) struct Recipes {
    store: Objects,
    compressors: Arc<Pool>,
    open: Vec<u8>,
    objects: Vec<RecipesId>,
    pub stored_bytes: u64,
}

/// A part in an object that may still be open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    object: usize,
    part: PartRef,
}

impl Recipes {
    pub(super) fn new(store: Objects, compressors: Arc<Pool>) -> Self {
        Self {
            store,
            compressors,
            open: Vec::new(),
            objects: Vec::new(),
            stored_bytes: 0,
        }
    }

    /// Adds a part.
    pub(super) async fn push(&mut self, part: Part) -> Result<Placed, StoreError> {
        let compressors = Arc::clone(&self.compressors);
        let bytes = part.blob_bytes();
        let stored = blocking(move || compressors.compress(&part.encode())).await;
        let placed = Placed {
            object: self.objects.len(),
            part: PartRef {
                id: PartId::of(&stored),
                object: RecipesId::from_bytes([0; 32]),
                offset: self.open.len() as u64,
                stored_bytes: stored.len() as u64,
                bytes,
            },
        };
        self.open.extend_from_slice(&stored);
        if self.open.len() >= RECIPES_BYTES {
            self.close().await?;
        }
        Ok(placed)
    }

    /// Writes the object that is open.
    pub(super) async fn close(&mut self) -> Result<(), StoreError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.open);
        let id = RecipesId::of(&bytes);
        self.stored_bytes += bytes.len() as u64;
        self.objects.push(id);
        self.store.put(&address::recipes(id), bytes).await
    }

    /// Where a part is, once its object was closed.
    pub(super) fn place(&self, placed: &Placed) -> PartRef {
        PartRef {
            object: self.objects[placed.object],
            ..placed.part
        }
    }
}

/// Reads a part and verifies it.
pub(crate) async fn read(fetcher: &Fetcher, place: PartRef) -> Result<Part, StoreError> {
    let path = &address::recipes(place.object);
    let piece = Piece::part(path, place.range());
    let part = fetcher.verified(piece, |stored| async move {
        let part = blocking(move || decode(&stored, place)).await;
        part.map_err(|why| StoreError::damaged(path, why))
    });
    part.await
}

fn decode(stored: &[u8], place: PartRef) -> Result<Part, String> {
    if PartId::of(stored) != place.id {
        return Err("a part does not have the digest in the archive".to_owned());
    }
    let bytes = codec::decompress_up_to(stored, PART_MAX_BYTES)?;
    let part = Part::decode(&bytes).map_err(|error| error.to_string())?;
    match part.blob_bytes() {
        bytes if bytes == place.bytes => Ok(part),
        bytes => Err(format!("a part is for {bytes} bytes, not {}", place.bytes)),
    }
}
