//! Reading a snapshot's volume: the map, lazily; blocks by their frames, verified.
//!
//! Leaves are fetched when a block below them is first asked for. Concurrent misses on one frame
//! share one request, and one miss yields every block of the frame that belongs near it. What is known
//! to be needed soon is read ahead.

mod ahead;
pub mod closure;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::ready;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use larder_model::address;
use larder_model::digest::{BlockId, HotListId, LeafId, LeavesId, MapId};
use larder_model::frame::FrameRef;
use larder_model::hot::{HotBlock, HotFrame, HotList, PackRange};
use larder_model::leaves;
use larder_model::limits::{
    BLOCK_BYTES, HOT_LIST_MAX_BYTES, LEAF_BLOCKS, LEAF_MAX_BYTES, MAP_MAX_BYTES,
};
use larder_model::map::{Leaf, LeafRef, MapRoot, leaf_of};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

pub use self::ahead::Ahead;
pub(crate) use self::ahead::first_ranges;
use crate::codec;
use crate::fetch::{FetchedBlock, Fetcher, Piece, Traffic};
use larder_objects::{Objects, StoreError, blocking};

/// Leaves that one request reads.
const LEAVES_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes between two leaves that are read for nothing rather than with another request: two leaves.
const LEAVES_GAP_BYTES: u64 = 2 * LEAF_MAX_BYTES as u64;
/// Requests for leaves at once, when all are read.
const LEAF_READS: usize = 4;
/// Leaves that are read ahead at most: those of 128 GiB of a volume. Whoever forges a map may name hundreds of
/// thousands, each a request of its own.
const LEAVES_AHEAD_MAX: usize = 2048;

type FrameKey = (FrameRef, u32);
type Verified = Arc<Vec<FetchedBlock>>;

/// The volume of a snapshot, to be read from the store block by block.
#[derive(Debug)]
pub struct Source {
    fetcher: Fetcher,
    root: MapRoot,
    leaves: HashMap<u32, OnceCell<Arc<Leaf>>>,
    /// What the last job read.
    hot: Ahead,
    /// All else, if it is to be read ahead too.
    rest: OnceLock<Ahead>,
    is_doubted: AtomicBool,
    in_flight: Mutex<HashMap<FrameKey, Arc<OnceCell<Verified>>>>,
}

impl Source {
    /// A volume of zeros.
    pub fn empty(objects: Objects, volume_bytes: u64) -> Result<Self, StoreError> {
        let root = MapRoot::empty(volume_bytes).map_err(StoreError::format("the volume size"))?;
        let fetcher = Fetcher::new(objects);
        let hot = Ahead::of_frames(fetcher.clone(), Vec::new());
        Ok(Self::new(fetcher, root, hot))
    }

    /// The volume with this map, and what the last job read of it. Reads no leaf.
    pub async fn open(
        objects: Objects,
        map: MapId,
        hot: Option<HotListId>,
    ) -> Result<Self, StoreError> {
        Self::open_with(objects, map, hot, &[]).await
    }

    /// The same, with ranges that are to be read at once.
    pub async fn open_with(
        objects: Objects,
        map: MapId,
        hot: Option<HotListId>,
        first: &[PackRange],
    ) -> Result<Self, StoreError> {
        let fetcher = Fetcher::new(objects);
        let begun = match fetcher.objects().near() {
            // It is asked by what is named, range by range.
            Some(_) => Vec::new(),
            None => ahead::begin(&fetcher, first),
        };
        let (root, list) = tokio::join!(read_root(&fetcher, map), async {
            Some(read_list(&fetcher, hot?).await)
        });
        let root = root?;
        let list = list.map_or_else(
            || Ok(HotList::default()),
            |bytes| {
                HotList::decode(&bytes?, root.blocks()).map_err(StoreError::format("the hot list"))
            },
        );
        // It only makes things faster: one that cannot be read is as good as none.
        let list = list.unwrap_or_else(|error| {
            tracing::warn!(%error, "no hot list");
            HotList::default()
        });
        let hot = Ahead::of_list(fetcher.clone(), list, begun);
        Ok(Self::new(fetcher, root, hot))
    }

    fn new(fetcher: Fetcher, root: MapRoot, hot: Ahead) -> Self {
        Self {
            leaves: root
                .leaves()
                .map(|(index, _)| (index, OnceCell::new()))
                .collect(),
            root,
            hot,
            rest: OnceLock::new(),
            is_doubted: AtomicBool::new(false),
            in_flight: Mutex::default(),
            fetcher,
        }
    }

    /// A newer snapshot is marked as broken, and this one may share damaged objects with it: a save names no
    /// more of them than it must, and stores again what the job wrote.
    pub fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_doubted(&self) -> bool {
        self.is_doubted.load(Ordering::Relaxed)
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

    /// What the fastest request of this job took: about a round trip.
    pub fn nearest(&self) -> Duration {
        self.fetcher.nearest()
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
        let piece = Piece::part(&path, place.range());
        self.fetcher
            .verified(piece, |bytes| ready(decode_leaf(place, &bytes)))
            .await
    }

    /// Reads leaves ahead, as many as `max_bytes` hold, those that lie side by side in one request: first those of
    /// regions in which the last job read something, for this one writes there. If they are more than that, and not
    /// `all` are wanted, of the others only those that lie with these.
    pub async fn read_leaves(&self, max_bytes: u64, all: bool) -> Result<(), StoreError> {
        use futures_util::{StreamExt as _, TryStreamExt as _};
        let mut objects: BTreeMap<LeavesId, Vec<(u32, LeafRef)>> = BTreeMap::new();
        let mut bytes = 0;
        let hot = self.hot_leaves();
        let (near, mut rest): (Vec<_>, Vec<_>) = self
            .root
            .leaves()
            .partition(|(index, _)| hot.contains(index));
        if !all && self.leaves_bytes() > max_bytes {
            let strays = leaves::strays(&self.root, &hot);
            let among = near.iter().filter(|(index, _)| !strays.contains(index));
            let read: HashSet<LeavesId> = among.map(|(_, place)| place.object).collect();
            rest.retain(|(_, place)| read.contains(&place.object));
        }
        for (index, place) in near.into_iter().chain(rest).take(LEAVES_AHEAD_MAX) {
            bytes += u64::from(place.bytes);
            if bytes <= max_bytes && self.leaf_if_read(index).is_none() {
                objects
                    .entry(place.object)
                    .or_default()
                    .push((index, *place));
            }
        }
        let ranges: Vec<_> = objects.into_values().flat_map(side_by_side).collect();
        futures_util::stream::iter(ranges.into_iter().map(|leaves| self.read_range(leaves)))
            .buffer_unordered(LEAF_READS)
            .try_collect()
            .await
    }

    /// Reads leaves that lie side by side, with one request.
    async fn read_range(&self, leaves: Vec<(u32, LeafRef)>) -> Result<(), StoreError> {
        let Some((_, first)) = leaves.first() else {
            return Ok(());
        };
        let path = address::leaves(first.object);
        let ranges = leaves.iter().map(|(_, place)| place.range()).collect();
        let decoded = self.fetcher.together(&path, ranges, |parts| {
            let decoded = leaves.iter().zip(parts);
            let decoded = decoded.map(|((_, place), bytes)| decode_leaf(place, &bytes));
            ready(decoded.collect::<Result<Vec<_>, StoreError>>())
        });
        for ((index, _), leaf) in leaves.iter().zip(decoded.await?) {
            // Somebody may need it and be reading it: whoever plans by the leaves is to find them all.
            self.leaves[index].get_or_init(|| ready(leaf)).await;
        }
        Ok(())
    }

    /// The leaves of a map that is not read in whole which a job reads among others that it does not.
    pub(crate) fn strays(&self) -> BTreeSet<u32> {
        if self.leaves_bytes() <= leaves::READ_MAX_BYTES {
            return BTreeSet::new();
        }
        leaves::strays(&self.root, &self.hot_leaves())
    }

    fn hot_leaves(&self) -> BTreeSet<u32> {
        let blocks = self.hot.blocks();
        blocks.map(|block| leaf_of(block).0).collect()
    }

    fn leaves_bytes(&self) -> u64 {
        let leaves = self.root.leaves();
        leaves.map(|(_, place)| u64::from(place.bytes)).sum()
    }

    /// What the last job read, to be read ahead.
    pub fn hot(&self) -> &Ahead {
        &self.hot
    }

    /// All else, once that is planned.
    pub fn rest(&self) -> Option<&Ahead> {
        self.rest.get()
    }

    /// Plans to read ahead all else below the leaves that were read, up to `max_bytes` of content, in
    /// the order of the volume.
    pub fn plan_rest(&self, max_bytes: u64) {
        self.rest.get_or_init(|| {
            let read = self.root.leaves().filter_map(|(index, _)| {
                let leaf = self.leaf_if_read(index)?;
                Some(leaf.blocks().map(move |(at, rests)| {
                    (u64::from(index) * LEAF_BLOCKS as u64 + at as u64, rests)
                }))
            });
            // Blocks are counted, not frames: a forged map may name one frame for all of them.
            let blocks = read
                .flatten()
                .take((max_bytes / BLOCK_BYTES as u64) as usize);
            let mut places: HashMap<FrameRef, usize> = HashMap::new();
            let mut frames: Vec<HotFrame> = Vec::new();
            for (block, rests) in blocks {
                let place = *places.entry(rests.frame).or_insert_with(|| {
                    frames.push(HotFrame {
                        pack: Some(rests.frame.pack),
                        slot: rests.frame.slot,
                        idle: 0,
                        blocks: Vec::new(),
                    });
                    frames.len() - 1
                });
                let id = rests.id;
                frames[place]
                    .blocks
                    .push((rests.slot, HotBlock { block, id }));
            }
            Ahead::of_frames(self.fetcher.clone(), frames)
        });
    }

    /// Returns once a block that is being read ahead has arrived. Others are left for
    /// [`fetch`](Self::fetch).
    pub async fn bring(&self, block: u64, deliver: impl Fn(&FetchedBlock) -> io::Result<()>) {
        let hot = self.hot.bring(block, &deliver).await;
        if let (false, Some(rest)) = (hot, self.rest.get()) {
            rest.bring(block, &deliver).await;
        }
    }

    /// What a block holds, as far as that is known without asking the store.
    pub(crate) fn id_of(&self, block: u64) -> Option<BlockId> {
        let (index, at) = leaf_of(block);
        match self.leaf_if_read(index) {
            Some(leaf) => leaf.get(at).map(|rests| rests.id),
            None => self.hot.id_of(block),
        }
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
        let piece = Piece::part(path, frame.range());
        let blocks = self.fetcher.verified(piece, |stored| async move {
            let leaf = Arc::clone(leaf);
            let unpacked = blocking(move || unpack(&stored, frame, index, &leaf)).await;
            unpacked.map_err(|why| StoreError::damaged(path, why))
        });
        Ok(Arc::new(blocks.await?))
    }
}

async fn read_root(fetcher: &Fetcher, map: MapId) -> Result<MapRoot, StoreError> {
    let path = &address::map(map);
    let piece = Piece::whole(path, MAP_MAX_BYTES);
    let reading = fetcher.verified(piece, |bytes| async move {
        if MapId::of(&bytes) != map {
            let why = "its bytes do not have the digest in its name";
            return Err(StoreError::damaged(path, why));
        }
        MapRoot::decode(&bytes).map_err(StoreError::format(path))
    });
    reading.await
}

/// The bytes of a hot list.
async fn read_list(fetcher: &Fetcher, id: HotListId) -> Result<Bytes, StoreError> {
    let path = &address::hot(id);
    let piece = Piece::whole(path, HOT_LIST_MAX_BYTES);
    let reading = fetcher.verified(piece, |bytes| async move {
        if HotListId::of(&bytes) == id {
            return Ok(bytes);
        }
        let why = "its bytes do not have the digest in its name";
        Err(StoreError::damaged(path, why))
    });
    reading.await
}

fn decode_leaf(place: &LeafRef, bytes: &[u8]) -> Result<Arc<Leaf>, StoreError> {
    let path = address::leaves(place.object);
    if LeafId::of(bytes) != place.id {
        let why = "a leaf does not have the digest in the map";
        return Err(StoreError::damaged(&path, why));
    }
    let leaf = Leaf::decode(bytes).map_err(StoreError::format(&path))?;
    Ok(Arc::new(leaf))
}

/// Leaves of one object, in groups of neighbours that one request reads.
fn side_by_side(mut leaves: Vec<(u32, LeafRef)>) -> Vec<Vec<(u32, LeafRef)>> {
    leaves.sort_by_key(|(_, place)| place.offset);
    let mut groups: Vec<Vec<(u32, LeafRef)>> = Vec::new();
    for leaf in leaves {
        let range = leaf.1.range();
        let fits = |group: &&mut Vec<(u32, LeafRef)>| {
            group
                .last()
                .is_some_and(|(_, last)| range.start <= last.range().end + LEAVES_GAP_BYTES)
                && range.end - group[0].1.range().start <= LEAVES_BYTES
        };
        match groups.last_mut().filter(fits) {
            Some(group) => group.push(leaf),
            None => groups.push(vec![leaf]),
        }
    }
    groups
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
        let block = u64::from(index) * LEAF_BLOCKS as u64 + at as u64;
        FetchedBlock::verified(block, place.id, content.slice(start..start + BLOCK_BYTES))
    })
    .collect()
}
