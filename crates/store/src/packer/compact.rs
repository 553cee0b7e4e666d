//! Blocks that rest in packs of which little is still named. Where a store is to stay small, a save stores them anew
//! with its own, and nothing names those packs any more. Elsewhere a collection does it (`anew`).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use larder_model::address;
use larder_model::compaction::LEAST_LIVE_PERCENT;
use larder_model::digest::{BlockId, LeavesId, PackId};
use larder_model::frame::{BlockRef, FrameSlot};
use larder_model::hot::HotFrame;
use larder_model::limits::LEAF_BLOCKS;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::Changed;
use crate::fetch::FetchedBlock;
use crate::source::Source;
use larder_objects::{Objects, StoreError};

/// Sizes asked for at once.
const SIZES: usize = 16;
/// Frames that are kept unpacked, for the blocks that come next.
const RECENT_FRAMES: usize = 16;

/// What a save stores anew.
#[derive(Default)]
pub(super) struct Moving {
    blocks: BTreeSet<u64>,
    /// The packs that they leave.
    left: HashSet<PackId>,
    /// The packs that the map names and goes on to name, if anything was looked for.
    kept: Option<HashSet<PackId>>,
    /// Whether all leaves are written anew.
    pub(super) leaves: bool,
    /// Where contents rest that have moved for another volume.
    moved: HashMap<BlockId, BlockRef>,
    recent: Mutex<VecDeque<Arc<Vec<FetchedBlock>>>>,
    /// Whether the store was waited for in vain: then all else stays where it is.
    is_away: AtomicBool,
}

/// What is still named of a pack.
#[derive(Default)]
struct Live {
    /// The places in each frame, as bits.
    frames: HashMap<FrameSlot, u32>,
    /// The blocks there that the job has not changed.
    blocks: Vec<u64>,
}

impl Live {
    fn bytes(&self) -> u64 {
        let frames = self.frames.iter();
        let parts = frames.map(|(slot, places)| {
            u64::from(slot.stored_bytes) * u64::from(places.count_ones()) / u64::from(slot.holds)
        });
        parts.sum()
    }
}

impl Moving {
    /// Looks for them, where the store is to stay small.
    pub(super) async fn of(source: &Source, changed: &Changed) -> Result<Self, StoreError> {
        let objects = source.objects();
        let Some(least) = objects.least_live_percent() else {
            return Ok(Self::default());
        };
        source.read_leaves(u64::MAX, true).await?;
        let packs = live(source, changed);
        let paths = packs.keys().map(|id| (*id, address::pack(*id)));
        let sizes = sizes(objects, paths.collect()).await;
        let mut moving = Self {
            leaves: scatters_leaves(source, least).await,
            ..Self::default()
        };
        let mut kept = HashSet::new();
        for (id, live) in packs {
            if sizes
                .get(&id)
                .is_some_and(|size| live.bytes() * 100 < size * least)
            {
                moving.left.insert(id);
                moving.blocks.extend(live.blocks);
            } else {
                kept.insert(id);
            }
        }
        moving.kept = Some(kept);
        Ok(moving)
    }

    /// All of a volume that rests in these packs.
    pub(super) async fn out_of(
        source: &Source,
        packs: &HashSet<PackId>,
        moved: HashMap<BlockId, BlockRef>,
    ) -> Result<Self, StoreError> {
        source.read_leaves(u64::MAX, true).await?;
        let all = live(source, &Changed::default()).into_iter();
        let blocks = all.filter(|(id, _)| packs.contains(id));
        Ok(Self {
            blocks: blocks.flat_map(|(_, live)| live.blocks).collect(),
            left: packs.clone(),
            leaves: scatters_leaves(source, LEAST_LIVE_PERCENT).await,
            moved,
            ..Self::default()
        })
    }

    /// Contents that have a place elsewhere.
    pub(super) fn moved(&self) -> impl Iterator<Item = (BlockId, BlockRef)> {
        self.moved.iter().map(|(id, rests)| (*id, *rests))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().copied()
    }

    /// Whether a block did not change, and is stored anew.
    pub(super) fn holds(&self, block: u64) -> bool {
        self.blocks.contains(&block)
    }

    pub(super) fn leaves_pack(&self, pack: PackId) -> bool {
        self.left.contains(&pack)
    }

    /// Whether a frame of the hot list can stay. Next door, where little is stored together, one in a pack that the map
    /// does not name would hold that alone: what is loose is copied anew.
    pub(super) fn keeps(&self, frame: &HotFrame, is_near: bool) -> bool {
        match (&self.kept, frame.pack) {
            (Some(kept), Some(pack)) if is_near => kept.contains(&pack),
            (Some(_), Some(pack)) => !self.left.contains(&pack),
            _ => true,
        }
    }

    /// Reads a block that is stored anew, on a thread of its own; false if it cannot be had. Then it stays where it
    /// is, and whoever needs it will say so.
    pub(super) fn read(
        &self,
        source: &Source,
        runtime: &Handle,
        block: u64,
        buffer: &mut [u8],
    ) -> bool {
        let known = self
            .recent
            .lock()
            .iter()
            .any(|frame| copy(frame, block, buffer));
        if known || self.is_away.load(Ordering::Relaxed) {
            return known;
        }
        match runtime.block_on(source.fetch(block)) {
            Ok(frame) => {
                let found = copy(&frame, block, buffer);
                let mut recent = self.recent.lock();
                recent.push_front(frame);
                recent.truncate(RECENT_FRAMES);
                found
            }
            Err(error) => {
                tracing::warn!(%error, block, "not stored anew");
                self.is_away.fetch_or(error.may_pass(), Ordering::Relaxed);
                false
            }
        }
    }
}

fn copy(frame: &[FetchedBlock], block: u64, buffer: &mut [u8]) -> bool {
    let found = frame.iter().find(|one| one.block == block);
    found
        .inspect(|one| buffer.copy_from_slice(&one.content))
        .is_some()
}

/// What the map names of each pack, but for what the job changed.
fn live(source: &Source, changed: &Changed) -> HashMap<PackId, Live> {
    let lists = [&changed.written, &changed.zeroed, &changed.early];
    let dirty: HashSet<u64> = lists.into_iter().flatten().copied().collect();
    let mut packs: HashMap<PackId, Live> = HashMap::new();
    for (index, _) in source.root().leaves() {
        let leaf = source.leaf_if_read(index).into_iter();
        for (at, rests) in leaf.flat_map(|leaf| leaf.blocks()) {
            let block = u64::from(index) * LEAF_BLOCKS as u64 + at as u64;
            if !dirty.contains(&block) {
                let live = packs.entry(rests.frame.pack).or_default();
                *live.frames.entry(rests.frame.slot).or_default() |= 1 << rests.slot;
                live.blocks.push(block);
            }
        }
    }
    packs
}

/// Whether little is named of the objects that the leaves are in.
async fn scatters_leaves(source: &Source, least: u64) -> bool {
    let mut objects: HashMap<LeavesId, u64> = HashMap::new();
    for (_, place) in source.root().leaves() {
        *objects.entry(place.object).or_default() += u64::from(place.bytes);
    }
    let paths = objects.keys().map(|id| (*id, address::leaves(*id)));
    let sizes = sizes(source.objects(), paths.collect()).await;
    objects.values().sum::<u64>() * 100 < sizes.values().sum::<u64>() * least
}

/// The sizes of objects, as far as the store says them.
async fn sizes<Id: Eq + std::hash::Hash>(
    objects: &Objects,
    paths: Vec<(Id, String)>,
) -> HashMap<Id, u64> {
    let asked = paths.into_iter();
    let asked = asked.map(|(id, path)| async move { Some((id, objects.size(&path).await?)) });
    let sizes = futures_util::stream::iter(asked).buffer_unordered(SIZES);
    sizes.filter_map(std::future::ready).collect().await
}
