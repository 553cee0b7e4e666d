//! Reading a snapshot's volume: the map, lazily; blocks by their frames, verified.
//!
//! Leaves are fetched when a block below them is first asked for. Concurrent misses on one frame
//! share one request, and one miss yields every block of the frame that belongs near it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use larder_model::address;
use larder_model::digest::{BlockId, LeafId, MapId};
use larder_model::frame::{BlockRef, FrameRef};
use larder_model::limits::{BLOCK_BYTES, LEAF_BLOCKS, MAP_MAX_BYTES};
use larder_model::map::{Leaf, LeafRef, MapRoot, leaf_of};
use tokio::sync::OnceCell;

use crate::codec;
use crate::error::StoreError;
use crate::objects::Objects;

/// A block that was read from the store and found to hold what the map says.
#[derive(Debug, Clone)]
pub struct FetchedBlock {
    /// Its place in the volume.
    pub block: u64,
    /// Its content: [`BLOCK_BYTES`] bytes.
    pub content: Bytes,
}

/// What was fetched so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests made.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
}

type FrameKey = (FrameRef, u32);
type Verified = Arc<Vec<FetchedBlock>>;

/// The volume of a snapshot, to be read from the store block by block.
#[derive(Debug)]
pub struct Source {
    objects: Objects,
    root: MapRoot,
    leaves: HashMap<u32, OnceCell<Arc<Leaf>>>,
    in_flight: Mutex<HashMap<FrameKey, Arc<OnceCell<Verified>>>>,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Source {
    /// A volume of zeros.
    pub fn empty(objects: Objects, volume_bytes: u64) -> Result<Self, StoreError> {
        let root = MapRoot::empty(volume_bytes).map_err(StoreError::format("the volume size"))?;
        Ok(Self::new(objects, root))
    }

    /// The volume with this map. Reads the root only.
    pub async fn open(objects: Objects, map: MapId) -> Result<Self, StoreError> {
        let path = address::map(map);
        let bytes = objects.get(&path, MAP_MAX_BYTES).await?;
        if MapId::of(&bytes) != map {
            return Err(StoreError::damaged(
                &path,
                "its bytes do not have the digest in its name",
            ));
        }
        let root = MapRoot::decode(&bytes).map_err(StoreError::format(&path))?;
        let source = Self::new(objects, root);
        source.count(bytes.len());
        Ok(source)
    }

    fn new(objects: Objects, root: MapRoot) -> Self {
        Self {
            objects,
            leaves: root
                .leaves()
                .map(|(index, _)| (index, OnceCell::new()))
                .collect(),
            root,
            in_flight: Mutex::default(),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// The root of its map.
    pub fn root(&self) -> &MapRoot {
        &self.root
    }

    /// The store that it is read from.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// What was fetched so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn count(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A leaf of the map, or `None` where its whole region is zero.
    pub async fn leaf(&self, index: u32) -> Result<Option<Arc<Leaf>>, StoreError> {
        let (Some(cell), Some(place)) = (self.leaves.get(&index), self.root.leaf(index)) else {
            return Ok(None);
        };
        let leaf = cell.get_or_try_init(|| self.read_leaf(place)).await?;
        Ok(Some(Arc::clone(leaf)))
    }

    async fn read_leaf(&self, place: &LeafRef) -> Result<Arc<Leaf>, StoreError> {
        let path = address::leaves(place.object);
        let bytes = self.objects.get_range(&path, place.range()).await?;
        self.count(bytes.len());
        if LeafId::of(&bytes) != place.id {
            return Err(StoreError::damaged(
                &path,
                "a leaf does not have the digest in the map",
            ));
        }
        let leaf = Leaf::decode(&bytes).map_err(StoreError::format(&path))?;
        Ok(Arc::new(leaf))
    }

    /// A leaf that was read before; nothing is asked of the store.
    pub fn leaf_if_read(&self, index: u32) -> Option<&Arc<Leaf>> {
        self.leaves.get(&index)?.get()
    }

    /// The leaves that were read so far.
    pub fn leaves_read(&self) -> impl Iterator<Item = (u32, &Arc<Leaf>)> {
        let read = |(index, cell): (&u32, _)| Some((*index, OnceCell::get(cell)?));
        self.leaves.iter().filter_map(read)
    }

    /// Where a block rests, or `None` where it is zero.
    pub async fn place(&self, block: u64) -> Result<Option<BlockRef>, StoreError> {
        let (index, at) = leaf_of(block);
        let leaf = self.leaf(index).await?;
        Ok(leaf.and_then(|leaf| leaf.get(at)))
    }

    /// Reads a block and, with it, the other blocks of its region that its frame holds. Nothing
    /// where the block is zero.
    pub async fn fetch(&self, block: u64) -> Result<Verified, StoreError> {
        let (index, at) = leaf_of(block);
        let Some(leaf) = self.leaf(index).await? else {
            return Ok(Arc::default());
        };
        let Some(wanted) = leaf.get(at) else {
            return Ok(Arc::default());
        };
        let key = (wanted.frame, index);
        let cell = Arc::clone(self.flights().entry(key).or_default());
        let read = cell
            .get_or_try_init(|| self.read_frame(wanted.frame, index, &leaf))
            .await;
        let verified = read.cloned();
        // Whoever waited on this cell holds it; a later miss asks the store again.
        self.flights().remove(&key);
        verified
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<FrameKey, Arc<OnceCell<Verified>>>> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_frame(
        &self,
        frame: FrameRef,
        index: u32,
        leaf: &Arc<Leaf>,
    ) -> Result<Verified, StoreError> {
        let path = address::pack(frame.pack);
        let stored = self.objects.get_range(&path, frame.range()).await?;
        self.count(stored.len());
        let leaf = Arc::clone(leaf);
        let unpack = move || {
            unpack(&stored, frame, index, &leaf).map_err(|why| StoreError::damaged(&path, why))
        };
        let verified = tokio::task::spawn_blocking(unpack).await;
        verified.expect("unpacking does not panic").map(Arc::new)
    }
}

/// Decompresses a frame and verifies every block that the leaf says it holds.
fn unpack(
    stored: &[u8],
    frame: FrameRef,
    index: u32,
    leaf: &Leaf,
) -> Result<Vec<FetchedBlock>, String> {
    let content = codec::decompress(stored, frame.blocks)
        .map_err(|why| format!("the frame at {}: {why}", frame.offset))?;
    let held = leaf.blocks().filter(|(_, place)| place.frame == frame);
    held.map(|(at, place)| {
        let start = usize::from(place.slot) * BLOCK_BYTES;
        let content = content.slice(start..start + BLOCK_BYTES);
        let block = u64::from(index) * LEAF_BLOCKS as u64 + at as u64;
        if BlockId::of(&content) != place.id {
            return Err(format!("block {block} does not have the digest in the map"));
        }
        Ok(FetchedBlock { block, content })
    })
    .collect()
}
