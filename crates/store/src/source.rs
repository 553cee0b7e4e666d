//! Reading a snapshot's volume: the map, lazily; blocks by their frames, verified.
//!
//! Leaves are fetched when a block below them is first asked for. Concurrent misses on one frame
//! share one request, and one miss yields every block of the frame that belongs near it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use larder_model::address;
use larder_model::digest::{BlockId, LeafId, MapId};
use larder_model::frame::FrameRef;
use larder_model::limits::{BLOCK_BYTES, LEAF_BLOCKS, MAP_MAX_BYTES};
use larder_model::map::{Leaf, LeafRef, MapRoot, leaf_of};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::codec;
use crate::error::StoreError;
use crate::fetch::{Fetcher, Traffic};
use crate::objects::Objects;
use crate::request::{verified, verified_whole};

/// A block that was read from the store and found to hold what the map says.
#[derive(Debug, Clone)]
pub struct FetchedBlock {
    /// Its place in the volume.
    pub block: u64,
    /// Its content: [`BLOCK_BYTES`] bytes.
    pub content: Bytes,
}

type FrameKey = (FrameRef, u32);
type Verified = Arc<Vec<FetchedBlock>>;

/// The volume of a snapshot, to be read from the store block by block.
#[derive(Debug)]
pub struct Source {
    fetcher: Fetcher,
    root: MapRoot,
    leaves: HashMap<u32, OnceCell<Arc<Leaf>>>,
    in_flight: Mutex<HashMap<FrameKey, Arc<OnceCell<Verified>>>>,
}

impl Source {
    /// A volume of zeros.
    pub fn empty(objects: Objects, volume_bytes: u64) -> Result<Self, StoreError> {
        let root = MapRoot::empty(volume_bytes).map_err(StoreError::format("the volume size"))?;
        Ok(Self::new(Fetcher::new(objects), root))
    }

    /// The volume with this map. Reads the root only.
    pub async fn open(objects: Objects, map: MapId) -> Result<Self, StoreError> {
        let path = &address::map(map);
        let fetcher = Fetcher::new(objects);
        let reading = verified_whole(
            || fetcher.whole(path, MAP_MAX_BYTES),
            |bytes| async move {
                if MapId::of(&bytes) != map {
                    let why = "its bytes do not have the digest in its name";
                    return Err(StoreError::damaged(path, why));
                }
                MapRoot::decode(&bytes).map_err(StoreError::format(path))
            },
            || fetcher.objects().size(path),
        );
        let root = reading.await?;
        Ok(Self::new(fetcher, root))
    }

    fn new(fetcher: Fetcher, root: MapRoot) -> Self {
        Self {
            fetcher,
            leaves: root
                .leaves()
                .map(|(index, _)| (index, OnceCell::new()))
                .collect(),
            root,
            in_flight: Mutex::default(),
        }
    }

    /// The root of its map.
    pub fn root(&self) -> &MapRoot {
        &self.root
    }

    /// The store that it is read from.
    pub fn objects(&self) -> &Objects {
        self.fetcher.objects()
    }

    /// What was fetched so far.
    pub fn traffic(&self) -> Traffic {
        self.fetcher.traffic()
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
        let path = &address::leaves(place.object);
        let leaf = verified(
            || self.fetcher.range(path, place.range()),
            |bytes| async move {
                if LeafId::of(&bytes) != place.id {
                    let why = "a leaf does not have the digest in the map";
                    return Err(StoreError::damaged(path, why));
                }
                Leaf::decode(&bytes).map_err(StoreError::format(path))
            },
        );
        Ok(Arc::new(leaf.await?))
    }

    /// A leaf that was read before; nothing is asked of the store.
    pub fn leaf_if_read(&self, index: u32) -> Option<&Arc<Leaf>> {
        self.leaves.get(&index)?.get()
    }

    /// The leaves that were read so far.
    pub(crate) fn leaves_read(&self) -> impl Iterator<Item = &Arc<Leaf>> {
        self.leaves.values().filter_map(OnceCell::get)
    }

    /// Reads a block and, with it, the other blocks of its region that its frame holds. Nothing
    /// where the block is zero.
    pub async fn fetch(&self, block: u64) -> Result<Verified, StoreError> {
        let (index, at) = leaf_of(block);
        let leaf = self.leaf(index).await?;
        let Some((wanted, leaf)) = leaf.and_then(|leaf| Some((leaf.get(at)?, leaf))) else {
            return Ok(Arc::default());
        };
        let key = (wanted.frame, index);
        let cell = Arc::clone(self.in_flight.lock().entry(key).or_default());
        let read = cell
            .get_or_try_init(|| self.read_frame(wanted.frame, index, &leaf))
            .await;
        let verified = read.cloned();
        // Whoever waited on this cell holds it; a later miss asks the store again.
        self.in_flight.lock().remove(&key);
        verified
    }

    async fn read_frame(
        &self,
        frame: FrameRef,
        index: u32,
        leaf: &Arc<Leaf>,
    ) -> Result<Verified, StoreError> {
        let path = &address::pack(frame.pack);
        let blocks = verified(
            || self.fetcher.range(path, frame.range()),
            |stored| async move {
                let leaf = Arc::clone(leaf);
                let unpacking =
                    tokio::task::spawn_blocking(move || unpack(&stored, frame, index, &leaf));
                let unpacked = unpacking.await.expect("unpacking does not panic");
                unpacked.map_err(|why| StoreError::damaged(path, why))
            },
        );
        Ok(Arc::new(blocks.await?))
    }
}

/// Decompresses a frame and verifies every block that the leaf says it holds.
fn unpack(
    stored: &[u8],
    frame: FrameRef,
    index: u32,
    leaf: &Leaf,
) -> Result<Vec<FetchedBlock>, String> {
    let content = codec::decompress_exactly(stored, usize::from(frame.slot.holds) * BLOCK_BYTES)
        .map_err(|why| format!("the frame at {}: {why}", frame.slot.offset))?;
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
