//! Storing together what a job read, for the next one to fetch in few long ranges.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_model::address;
use larder_model::digest::{BlockId, HotListId, PackId};
use larder_model::frame::{BlockRef, FrameRef, FrameSlot};
use larder_model::habit::{self, Reads, Stored};
use larder_model::hot::{HotBlock, HotFrame, HotList, PackRange};
use larder_model::limits::{
    BLOCK_BYTES, FRAME_BLOCKS, HOT_LIST_HELD_BLOCKS, LEAF_BLOCKS, PACK_BYTES,
};
use larder_model::map::leaf_of;
use larder_model::pack::PackBuilder;
use tokio::runtime::Handle;

use super::classify::Workers;
use super::{Changes, PackProgress};
use crate::codec::Pool;
use crate::source::{Source, first_ranges};
use crate::uploads::Uploads;
use larder_objects::{Objects, StoreError, blocking};

/// Frames that are compressed on all cores before the next ones are read: bounds memory.
const BATCH_FRAMES: usize = 32;

/// Blocks that hold the same; of many copies one is stored.
type Equal = Vec<HotBlock>;

/// Blocks, compressed together.
struct Compressed {
    blocks: Vec<Equal>,
    bytes: Vec<u8>,
}

/// What a list is made of.
pub(super) struct Known {
    /// Frames of the last list that can stay.
    pub before: Vec<HotFrame>,
    /// Copies that were stored while the job ran.
    pub copies: Vec<HotFrame>,
    /// What the job read.
    pub reads: Reads,
}

/// Stores what `habit::gather` says of what is known, and the list that finds it. Nothing if that does not
/// work: the next job is slower without it, and no more. Far away also what of it is to be read beside the list.
pub(super) async fn store<R>(
    source: &Arc<Source>,
    known: Known,
    is_near: bool,
    changes: &Changes,
    read: R,
    progress: &Arc<PackProgress>,
) -> Result<(Option<HotListId>, Vec<PackRange>), StoreError>
where
    R: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync + 'static,
{
    let held_max = if is_near { 0 } else { HOT_LIST_HELD_BLOCKS };
    // Next door a miss costs little, and what a job wrote is not known to be read.
    let written = (!is_near).then(|| frames_written(changes));
    let was_there = |(_, one): &(u8, HotBlock)| source.id_of(one.block).is_some();
    let (rewritten, written) = written
        .unwrap_or_default()
        .into_iter()
        .partition(|frame| frame.blocks.iter().any(was_there));
    let stored = Stored {
        rewritten,
        written,
        copies: known.copies,
    };
    let reads = known.reads;
    let mut gathered = habit::gather(&known.before, stored, &reads, held_max, |block| {
        id_after(source, changes, block)
    });
    let mut frames = Vec::new();
    if is_near {
        frames = gathered.leave(|blocks| refer(source, changes, blocks));
    }
    let gathered = gathered.settled();
    frames.extend(gathered.kept);
    let mut list = HotList {
        frames,
        held: Vec::new(),
    };
    let mut writer = Writer::new(source.objects().clone(), Arc::clone(progress));
    let stored: Result<_, StoreError> = blocking(move || {
        hold(&gathered.held, &read, &mut list);
        list.frames.extend(gathered.written);
        writer.store(&gathered.together, &read, Workers::All, &mut list.frames)?;
        list.frames = habit::in_order(list.frames, &reads);
        let first = if is_near {
            Vec::new()
        } else {
            first_ranges(&list)
        };
        let (id, bytes) = list.encode();
        // Beside the last packs.
        writer.upload(address::hot(id), bytes)?;
        writer.finish()?;
        Ok((Some(id), first))
    })
    .await;
    if let Err(error) = &stored {
        tracing::warn!(%error, "no hot list");
    }
    Ok(stored.unwrap_or_default())
}

/// Stores blocks together while the job runs; the frames that hold them.
pub(super) async fn copy<R>(
    source: &Arc<Source>,
    blocks: Vec<HotBlock>,
    read: R,
    progress: &Arc<PackProgress>,
) -> Result<Vec<HotFrame>, StoreError>
where
    R: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync + 'static,
{
    let mut writer = Writer::new(source.objects().clone(), Arc::clone(progress));
    blocking(move || {
        let mut frames = Vec::new();
        writer.store(&blocks, &read, Workers::Idle, &mut frames)?;
        writer.finish()?;
        Ok(frames)
    })
    .await
}

/// What a block holds after the job.
fn id_after(source: &Source, changes: &Changes, block: u64) -> Option<BlockId> {
    let (index, at) = leaf_of(block);
    match changes.get(&index).and_then(|leaf| leaf.get(&at)) {
        Some(change) => change.map(|rests| rests.id),
        None => source.id_of(block),
    }
}

/// Frames that hold blocks where the map has them; takes those blocks out of the list.
pub(super) fn refer(
    source: &Source,
    changes: &Changes,
    blocks: &mut Vec<HotBlock>,
) -> Vec<HotFrame> {
    let mut placed = Vec::new();
    blocks.retain(|one| {
        let rests = rests_after(source, changes, one.block);
        placed.extend(rests.map(|rests| (one.block, rests)));
        rests.is_none()
    });
    frames_of(placed)
}

/// The frames in which a save stored what its job wrote.
fn frames_written(changes: &Changes) -> Vec<HotFrame> {
    let placed = changes.iter().flat_map(|(leaf, places)| {
        let first = u64::from(*leaf) * LEAF_BLOCKS as u64;
        let placed = places.iter();
        placed.filter_map(move |(at, rests)| Some((first + *at as u64, (*rests)?)))
    });
    frames_of(placed)
}

/// Frames of the map, with these of their blocks, in the order of the first of them.
fn frames_of(placed: impl IntoIterator<Item = (u64, BlockRef)>) -> Vec<HotFrame> {
    let mut numbers: HashMap<FrameRef, usize> = HashMap::new();
    let mut frames: Vec<HotFrame> = Vec::new();
    for (block, BlockRef { id, frame, slot }) in placed {
        let number = *numbers.entry(frame).or_insert_with(|| {
            frames.push(HotFrame {
                pack: Some(frame.pack),
                slot: frame.slot,
                idle: 0,
                blocks: Vec::new(),
            });
            frames.len() - 1
        });
        frames[number].blocks.push((slot, HotBlock { block, id }));
    }
    frames.iter_mut().for_each(HotFrame::sort);
    frames
}

/// Where a block rests after the job, as far as that is known without asking the store.
fn rests_after(source: &Source, changes: &Changes, block: u64) -> Option<BlockRef> {
    let (index, at) = leaf_of(block);
    match changes.get(&index).and_then(|leaf| leaf.get(&at)) {
        Some(change) => *change,
        None => source.leaf_if_read(index)?.get(at),
    }
}

/// Frames that the list itself holds.
fn hold<R>(blocks: &[HotBlock], read: &R, list: &mut HotList)
where
    R: Fn(u64, &mut [u8]) -> io::Result<()> + Sync,
{
    for Compressed { blocks, bytes } in compress(&by_content(blocks), read, Workers::All) {
        let slot = FrameSlot {
            offset: list.held.len() as u32,
            stored_bytes: bytes.len() as u32,
            holds: blocks.len() as u8,
        };
        list.held.extend_from_slice(&bytes);
        list.frames.push(frame(None, slot, blocks));
    }
}

fn frame(pack: Option<PackId>, slot: FrameSlot, blocks: Vec<Equal>) -> HotFrame {
    let places = (0..).zip(blocks);
    let blocks = places.flat_map(|(slot, equal)| equal.into_iter().map(move |one| (slot, one)));
    HotFrame {
        pack,
        slot,
        idle: 0,
        blocks: blocks.collect(),
    }
}

/// Each content once, in the order of the first blocks.
fn by_content(blocks: &[HotBlock]) -> Vec<Equal> {
    let mut contents: Vec<Equal> = Vec::new();
    let mut places: HashMap<BlockId, usize> = HashMap::new();
    for one in blocks {
        let place = *places.entry(one.id).or_insert(contents.len());
        match contents.get_mut(place) {
            Some(equal) => equal.push(*one),
            None => contents.push(vec![*one]),
        }
    }
    contents
}

/// Compresses blocks as full frames. A block whose content is not here, or is not what it
/// should be, is left out.
fn compress<R>(blocks: &[Equal], read: &R, workers: Workers) -> Vec<Compressed>
where
    R: Fn(u64, &mut [u8]) -> io::Result<()> + Sync,
{
    let frames: Vec<&[Equal]> = blocks.chunks(FRAME_BLOCKS).collect();
    let share = frames.len().div_ceil(workers.count()).max(1);
    std::thread::scope(|scope| {
        let shares = frames.chunks(share).map(|frames| {
            scope.spawn(move || {
                workers.begin();
                let pool = Pool::fast();
                let compressed = frames
                    .iter()
                    .map(|blocks| compress_frame(blocks, read, &pool));
                compressed.collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = shares.collect();
        let shares = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        let frames = shares.flat_map(|share| share.expect("compressing does not panic"));
        frames.filter(|frame| !frame.blocks.is_empty()).collect()
    })
}

fn compress_frame<R>(wanted: &[Equal], read: &R, pool: &Pool) -> Compressed
where
    R: Fn(u64, &mut [u8]) -> io::Result<()>,
{
    let mut content = Vec::with_capacity(wanted.len() * BLOCK_BYTES);
    let mut blocks = Vec::new();
    let mut block = vec![0; BLOCK_BYTES];
    for equal in wanted {
        let mut is_here =
            |one: &HotBlock| read(one.block, &mut block).is_ok() && BlockId::of(&block) == one.id;
        if equal.iter().any(&mut is_here) {
            content.extend_from_slice(&block);
            blocks.push(equal.clone());
        }
    }
    Compressed {
        bytes: pool.compress(&content),
        blocks,
    }
}

/// Writes packs of frames, on a thread for blocking work.
struct Writer {
    objects: Objects,
    progress: Arc<PackProgress>,
    runtime: Handle,
    pack: PackBuilder<BlockId>,
    /// Frames of the open pack.
    waiting: Vec<(FrameSlot, Vec<Equal>)>,
    uploads: Uploads<()>,
}

impl Writer {
    fn new(objects: Objects, progress: Arc<PackProgress>) -> Self {
        Self {
            objects,
            progress,
            runtime: Handle::current(),
            pack: PackBuilder::default(),
            waiting: Vec::new(),
            uploads: Uploads::default(),
        }
    }

    fn store<R>(
        &mut self,
        blocks: &[HotBlock],
        read: &R,
        workers: Workers,
        frames: &mut Vec<HotFrame>,
    ) -> Result<(), StoreError>
    where
        R: Fn(u64, &mut [u8]) -> io::Result<()> + Sync,
    {
        for batch in by_content(blocks).chunks(BATCH_FRAMES * FRAME_BLOCKS) {
            for Compressed { blocks, bytes } in compress(batch, read, workers) {
                let ids: Vec<BlockId> = blocks.iter().map(|equal| equal[0].id).collect();
                self.waiting.push((self.pack.push(&bytes, &ids), blocks));
                if self.pack.len() >= PACK_BYTES {
                    self.close_pack(frames)?;
                }
            }
        }
        if !self.pack.is_empty() {
            self.close_pack(frames)?;
        }
        Ok(())
    }

    /// Waits for all uploads.
    fn finish(mut self) -> Result<(), StoreError> {
        while self.runtime.block_on(self.uploads.next())?.is_some() {}
        Ok(())
    }

    fn close_pack(&mut self, frames: &mut Vec<HotFrame>) -> Result<(), StoreError> {
        let (id, bytes) = std::mem::take(&mut self.pack).finish();
        let placed = self.waiting.drain(..);
        frames.extend(placed.map(|(slot, blocks)| frame(Some(id), slot, blocks)));
        self.upload(address::pack(id), bytes)
    }

    fn upload(&mut self, path: String, bytes: Vec<u8>) -> Result<(), StoreError> {
        let (objects, progress) = (self.objects.clone(), Arc::clone(&self.progress));
        let upload = async move {
            let len = bytes.len() as u64;
            objects.put(&path, bytes).await?;
            progress.stored_bytes.fetch_add(len, Ordering::Relaxed);
            Ok(())
        };
        self.runtime.block_on(self.uploads.start(upload))?;
        Ok(())
    }
}
