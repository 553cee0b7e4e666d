//! Writing changed blocks: content to frames, frames to packs, packs to the store, and the map that
//! finds them again.
//!
//! Reading, hashing and compressing run on every core; packs are uploaded while the next ones are
//! filled. Memory is bounded by a few packs and frames, whatever the volume holds. Nothing here
//! makes the result visible: that is [`crate::catalog::publish`], once everything is stored.

mod anew;
mod classify;
mod compact;
mod early;
mod known;
mod leaves;
mod together;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_model::address;
use larder_model::digest::{BlockId, HotListId, MapId, PackId};
use larder_model::frame::{BlockRef, FrameRef, FrameSlot};
use larder_model::habit::{self, Reads};
use larder_model::hot::PackRange;
use larder_model::limits::{BLOCK_BYTES, PACK_BYTES};
use larder_model::map::{Leaf, leaf_of};
use larder_model::pack::PackBuilder;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::source::Source;
use crate::uploads::Uploads;
pub use anew::Relayout;
use classify::{Classifier, Outcome, Workers};
use compact::Moving;
pub use early::Early;
use known::Contents;
use larder_objects::{Objects, StoreError, blocking};
use together::Known;

/// Leaves read at once.
const LEAF_READS: usize = 16;

/// How far a save is; read by whoever shows it.
#[derive(Debug, Default)]
pub struct PackProgress {
    /// Blocks to look at.
    pub total: AtomicU64,
    /// Blocks looked at.
    pub done: AtomicU64,
    /// Bytes handed to the store.
    pub stored_bytes: AtomicU64,
}

/// A volume whose blocks and map are in the store, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Root of the new map.
    pub map: MapId,
    /// What the job read, stored together for the next one; nothing if it could not be stored.
    pub hot: Option<HotListId>,
    /// What of that is to be read at once, beside the list.
    pub first: Vec<PackRange>,
    /// Blocks that were given as changed.
    pub dirty_blocks: u64,
    /// Blocks whose content the parent's map and this job did not have yet.
    pub new_blocks: u64,
    /// Change in the number of blocks that are not zero.
    pub used_change: i64,
    /// Bytes of all objects written.
    pub stored_bytes: u64,
}

/// What a save changes in the map: for each leaf, for each place in it, the new block or zero.
type Changes = BTreeMap<u32, BTreeMap<usize, Option<BlockRef>>>;
/// The parent's leaves below the dirty blocks.
type Touched = HashMap<u32, Option<Arc<Leaf>>>;

/// The blocks that a job changed, each list ascending.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    /// Blocks that were written, perhaps with what was there before.
    pub written: Vec<u64>,
    /// Blocks that are zero now, perhaps as before.
    pub zeroed: Vec<u64>,
    /// Blocks that are as they were when they were stored early.
    pub early: Vec<u64>,
}

/// What a save stores.
#[derive(Debug, Default)]
pub struct Job {
    /// What the job changed.
    pub changed: Changed,
    /// What it read.
    pub reads: Reads,
    /// What was stored while it ran.
    pub early: Early,
    /// Whether the store is so near that reading what is scattered costs little: then only what lies in many
    /// packs is stored again.
    pub is_near: bool,
}

/// Stores what changed in a volume that was opened from `source`, and together what the job read of it.
/// `read` fills a buffer with a block's content and is called from several threads.
pub async fn pack<R>(
    source: &Arc<Source>,
    job: Job,
    read: R,
    progress: Arc<PackProgress>,
) -> Result<Packed, StoreError>
where
    R: Fn(u64, &mut [u8]) -> io::Result<()> + Clone + Send + Sync + 'static,
{
    let Job {
        mut changed,
        reads,
        early,
        is_near,
    } = job;
    let of_before = early.stored_bytes();
    progress
        .stored_bytes
        .fetch_add(of_before, Ordering::Relaxed);
    let (before, copies) = early.begin(&mut changed);
    let moving = Arc::new(Moving::of(source, &changed).await?);
    let dirty_blocks = (changed.written.len() + changed.zeroed.len()) as u64
        + before
            .changes
            .values()
            .map(|places| places.len() as u64)
            .sum::<u64>();
    let (mut stored, touched) = store_changed(
        source,
        changed,
        before,
        (Workers::All, &moving),
        read.clone(),
        &progress,
    )
    .await?;
    tracing::debug!(
        of_list = ?habit::worth(source.hot().frames(), &reads),
        "what of the last list was read"
    );
    let hot = source.hot().frames();
    let hot = hot.filter(|frame| moving.keeps(frame, is_near)).cloned();
    let known = Known {
        before: hot.collect(),
        copies,
        reads,
    };
    let together = together::store(source, known, is_near, &stored.changes, read, &progress);
    let mut placed = HashMap::new();
    let anew = (moving.leaves, &mut placed);
    let written = leaves::write(source, &touched, &stored.changes, anew, &progress);
    let (map, (hot, first), ()) = tokio::try_join!(written, together, finish(&mut stored.uploads))?;
    Ok(Packed {
        map,
        hot,
        first,
        dirty_blocks,
        new_blocks: stored.new_blocks,
        used_change: used_change(&stored.changes, &touched),
        stored_bytes: progress.stored_bytes.load(Ordering::Relaxed),
    })
}

/// Stores changed blocks, and those that move; `before` is what was stored of the job already. Uploads may still be
/// under way when this returns.
async fn store_changed<R>(
    source: &Arc<Source>,
    mut changed: Changed,
    before: Assembled,
    (workers, moving): (Workers, &Arc<Moving>),
    read: R,
    progress: &Arc<PackProgress>,
) -> Result<(Assembled, Arc<Touched>), StoreError>
where
    R: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync + 'static,
{
    changed.written.extend(moving.blocks());
    changed.written.sort_unstable();
    progress
        .total
        .store(changed.written.len() as u64, Ordering::Relaxed);
    let touched = Arc::new(read_touched(source, &changed).await?);
    let classifier = Classifier {
        changed,
        touched: Arc::clone(&touched),
        known: Contents::new(source, moving, before.placed()),
        stores_again: source.is_doubted() || !moving.is_empty(),
        moving: Arc::clone(moving),
        source: Arc::clone(source),
        runtime: Handle::current(),
        read,
        workers,
        progress: Arc::clone(progress),
        next: AtomicUsize::new(0),
        claimed: Mutex::default(),
    };
    let assembler = Assembler::new(source.objects().clone(), Arc::clone(progress), before);
    let stored = blocking(move || assembler.run(&classifier)).await?;
    Ok((stored, touched))
}

async fn read_touched(source: &Arc<Source>, changed: &Changed) -> Result<Touched, StoreError> {
    let blocks = changed.written.iter().chain(&changed.zeroed);
    let blocks = blocks.chain(&changed.early);
    let indexes: BTreeSet<u32> = blocks.map(|block| leaf_of(*block).0).collect();
    let reads = indexes
        .into_iter()
        .map(|index| async move { Ok((index, source.leaf(index).await?)) });
    futures_util::stream::iter(reads)
        .buffer_unordered(LEAF_READS)
        .try_collect()
        .await
}

async fn finish(uploads: &mut Uploads<()>) -> Result<(), StoreError> {
    while uploads.next().await?.is_some() {}
    Ok(())
}

/// Gathers frames into packs, starts their uploads, and records where each block came to rest.
struct Assembler {
    objects: Objects,
    progress: Arc<PackProgress>,
    pack: PackBuilder<BlockId>,
    /// Blocks of the open pack.
    pending: Vec<(u64, BlockId, FrameSlot, u8)>,
    /// Blocks whose content another block of this job holds, which may not be placed yet.
    twins: Vec<(u64, BlockId)>,
    placed: HashMap<BlockId, BlockRef>,
    out: Assembled,
}

#[derive(Default)]
struct Assembled {
    changes: Changes,
    new_blocks: u64,
    uploads: Uploads<()>,
}

impl Assembled {
    /// The contents that have a place.
    fn placed(&self) -> impl Iterator<Item = (BlockId, BlockRef)> {
        let blocks = self.changes.values().flat_map(BTreeMap::values).flatten();
        blocks.map(|rests| (rests.id, *rests))
    }
}

/// How many more blocks are not zero.
fn used_change(changes: &Changes, touched: &Touched) -> i64 {
    let leaves = changes.iter().map(|(index, changes)| {
        let before = touched.get(index).and_then(Option::as_ref);
        let blocks = changes.iter().map(|(at, change)| {
            let was = before.is_some_and(|leaf| leaf.get(*at).is_some());
            i64::from(change.is_some()) - i64::from(was)
        });
        blocks.sum::<i64>()
    });
    leaves.sum()
}

impl Assembler {
    fn new(objects: Objects, progress: Arc<PackProgress>, before: Assembled) -> Self {
        Self {
            objects,
            progress,
            pack: PackBuilder::default(),
            pending: Vec::new(),
            twins: Vec::new(),
            placed: HashMap::new(),
            out: before,
        }
    }

    fn run<R>(mut self, classifier: &Classifier<R>) -> Result<Assembled, StoreError>
    where
        R: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync,
    {
        classifier.run(|outcome| self.take(outcome))?;
        self.close_pack()?;
        for (block, id) in std::mem::take(&mut self.twins) {
            let rests = *self
                .placed
                .get(&id)
                .expect("a twin's content was placed before");
            self.change(block, Some(rests));
        }
        Ok(self.out)
    }

    fn take(&mut self, outcome: Outcome) -> Result<(), StoreError> {
        match outcome {
            Outcome::Zero(block) => self.change(block, None),
            Outcome::Known(block, rests) => self.change(block, Some(rests)),
            Outcome::Twin(block, id) => self.twins.push((block, id)),
            Outcome::Frame { blocks, stored } => self.add_frame(&blocks, &stored)?,
        }
        Ok(())
    }

    fn add_frame(&mut self, blocks: &[(u64, BlockId)], stored: &[u8]) -> Result<(), StoreError> {
        let ids: Vec<BlockId> = blocks.iter().map(|(_, id)| *id).collect();
        let slot = self.pack.push(stored, &ids);
        for (place, (block, id)) in blocks.iter().enumerate() {
            self.pending.push((*block, *id, slot, place as u8));
        }
        self.out.new_blocks += blocks.len() as u64;
        if self.pack.len() >= PACK_BYTES {
            self.close_pack()?;
        }
        Ok(())
    }

    fn close_pack(&mut self) -> Result<(), StoreError> {
        if self.pack.is_empty() {
            return Ok(());
        }
        let (id, bytes) = std::mem::take(&mut self.pack).finish();
        for (block, block_id, slot, place) in std::mem::take(&mut self.pending) {
            let rests = BlockRef {
                id: block_id,
                frame: FrameRef { pack: id, slot },
                slot: place,
            };
            self.placed.insert(block_id, rests);
            self.change(block, Some(rests));
        }
        self.upload(id, bytes)
    }

    /// Waits while as many packs as may be are in upload: all of them are held in memory.
    fn upload(&mut self, id: PackId, bytes: Vec<u8>) -> Result<(), StoreError> {
        let (objects, progress) = (self.objects.clone(), Arc::clone(&self.progress));
        let upload = async move {
            let len = bytes.len() as u64;
            objects.put(&address::pack(id), bytes).await?;
            progress.stored_bytes.fetch_add(len, Ordering::Relaxed);
            Ok(())
        };
        // This thread is one for blocking work.
        Handle::current().block_on(self.out.uploads.start(upload))?;
        Ok(())
    }

    fn change(&mut self, block: u64, rests: Option<BlockRef>) {
        let (leaf, at) = leaf_of(block);
        self.out.changes.entry(leaf).or_default().insert(at, rests);
    }
}

/// A block of zeros, to compare with.
static ZERO_BLOCK: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
