//! Frames that are fetched before anybody asks for them, in long ranges of their packs.
//!
//! A far store answers late, whatever it is asked for: so what is known to be needed soon is read in a
//! few long ranges, side by side. A block that is needed at once and lies in a range under way waits for
//! that range; one that lies in a range which nobody reads yet has it read first.

use std::collections::HashMap;
use std::future::ready;
use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use larder_model::address;
use larder_model::digest::{BlockId, PackId};
use larder_model::hot::{HotBlock, HotFrame, HotList, PackRange};
use larder_model::limits::{BLOCK_BYTES, PACK_MAX_BYTES};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::codec;
use crate::fetch::{Begun, FetchedBlock, Fetcher};
use larder_objects::StoreError;

/// A range is closed once it has so many bytes. Longer ones make whoever needs a block in the middle wait, shorter ones
/// cost requests: at 100 MB/s this one takes 20 ms, as long as a round trip.
const RANGE_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes between two frames that are fetched for nothing rather than in another request.
const GAP_BYTES: u64 = 64 * 1024;
/// Bytes that are read beside the list that says what is in them, and in how many ranges: what the last job wrote, and
/// an engine's start reads. More would be in the way of the list.
const FIRST_BYTES: u64 = 512 * 1024;
const FIRST_RANGES: usize = 4;

/// Ranges to read, in order.
#[derive(Debug)]
pub struct Ahead {
    fetcher: Fetcher,
    stretches: Vec<Stretch>,
    /// In which stretch a block is, and in which of its frames.
    places: HashMap<u64, (usize, usize)>,
    /// Where reading goes on: behind what was read last, and behind what was needed last.
    next: AtomicUsize,
    /// Stretches under way that somebody waits for.
    needed: AtomicUsize,
    /// Rung when a frame has arrived, or a stretch is over.
    arrived: Notify,
}

/// Frames that lie side by side.
#[derive(Debug)]
struct Stretch {
    bytes: Where,
    frames: Vec<Frame>,
    state: AtomicU8,
    /// The same, if it was asked for before the list was there.
    begun: Mutex<Option<Begun>>,
}

#[derive(Debug)]
enum Where {
    Pack(PackId),
    Here(Bytes),
}

#[derive(Debug)]
struct Frame {
    frame: HotFrame,
    arrived: AtomicBool,
}

/// States of a stretch, in their order.
const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const OVER: u8 = 2;

impl Ahead {
    /// What a hot list says, of which these ranges are being read already.
    pub(crate) fn of_list(fetcher: Fetcher, list: HotList, begun: Vec<(PackId, Begun)>) -> Self {
        let (held, stored): (Vec<_>, Vec<_>) = list
            .frames
            .into_iter()
            .partition(|frame| frame.pack.is_none());
        let mut stretches = Vec::new();
        if !held.is_empty() {
            stretches.push(Stretch::new(Where::Here(list.held.into()), held));
        }
        stretches.extend(in_stretches(stored));
        for (pack, begun) in begun {
            let mut stretches = stretches.iter_mut();
            let wanted = stretches.find(|it| it.pack() == Some(pack) && begun.holds(&it.range()));
            if let Some(stretch) = wanted {
                stretch.begun = Mutex::new(Some(begun));
            }
        }
        Self::new(fetcher, stretches)
    }

    /// These frames, in the order in which they are given as far as long ranges allow.
    pub(crate) fn of_frames(fetcher: Fetcher, frames: Vec<HotFrame>) -> Self {
        Self::new(fetcher, in_stretches(frames))
    }

    fn new(fetcher: Fetcher, stretches: Vec<Stretch>) -> Self {
        let mut places = HashMap::new();
        for (number, stretch) in stretches.iter().enumerate() {
            for (at, frame) in stretch.frames.iter().enumerate() {
                let blocks = frame.frame.blocks.iter();
                places.extend(blocks.map(|(_, one)| (one.block, (number, at))));
            }
        }
        Self {
            fetcher,
            stretches,
            places,
            next: AtomicUsize::new(0),
            needed: AtomicUsize::new(0),
            arrived: Notify::new(),
        }
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Its frames, in order.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &HotFrame> {
        let frames = self.stretches.iter().flat_map(|stretch| &stretch.frames);
        frames.map(|frame| &frame.frame)
    }

    /// The blocks in them.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = u64> {
        self.places.keys().copied()
    }

    /// What a block holds, if it is among them.
    pub(crate) fn id_of(&self, block: u64) -> Option<BlockId> {
        let (stretch, at) = *self.places.get(&block)?;
        let mut blocks = self.stretches[stretch].frames[at].frame.blocks.iter();
        let found = blocks.find(|(_, one)| one.block == block);
        found.map(|(_, one)| one.id)
    }

    /// Reads the next range and hands out its blocks, verified; says how long the store took for it. Nothing
    /// once none is left, or after trouble: what could not be read is left for whoever needs it, who will say
    /// so.
    pub async fn read_next(
        &self,
        deliver: impl Fn(&FetchedBlock) -> io::Result<()>,
    ) -> Option<Duration> {
        let from = self.next.load(Ordering::Acquire);
        let mut order = (from..self.stretches.len()).chain(0..from);
        let number = order.find(|number| self.stretches[*number].take())?;
        self.next.store(number + 1, Ordering::Release);
        self.read(&self.stretches[number], &deliver).await
    }

    /// Whether somebody waits for a range: whatever else is under way takes its share of the line.
    pub fn is_needed(&self) -> bool {
        self.needed.load(Ordering::Acquire) > 0
    }

    /// Returns once a block has arrived, or will not arrive this way; false at once if it is not one of
    /// these.
    pub(crate) async fn bring(
        &self,
        block: u64,
        deliver: &impl Fn(&FetchedBlock) -> io::Result<()>,
    ) -> bool {
        let Some((number, at)) = self.places.get(&block) else {
            return false;
        };
        let stretch = &self.stretches[*number];
        if stretch.take() {
            // What is needed next is mostly near.
            self.next.store(number + 1, Ordering::Release);
            let _needed = Needed::new(&self.needed);
            self.read(stretch, deliver).await;
            return true;
        }
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            // From here on no ring is missed.
            arrived.as_mut().enable();
            let over = stretch.state.load(Ordering::Acquire) == OVER;
            if over || stretch.frames[*at].arrived.load(Ordering::Acquire) {
                return true;
            }
            arrived.await;
        }
    }

    /// How long the store took, if that worked.
    async fn read(
        &self,
        stretch: &Stretch,
        deliver: &impl Fn(&FetchedBlock) -> io::Result<()>,
    ) -> Option<Duration> {
        // Also when this future is dropped: nobody else would end the stretch.
        let _over = Over {
            stretch,
            arrived: &self.arrived,
        };
        let (begun, came) = (Instant::now(), OnceLock::new());
        // Decompressing takes the processor, and writing to the page cache may wait for the disk.
        let hand_out = |stored: Vec<Bytes>| {
            came.get_or_init(|| begun.elapsed());
            ready(tokio::task::block_in_place(|| {
                self.unpack(stretch, &stored, deliver)
            }))
        };
        let ranges = stretch.frames.iter().map(|frame| frame.frame.range());
        let handed_out = if let Some((start, bytes)) = stretch.here().await {
            let at = |place: u64| (place - start) as usize;
            let parts = ranges.map(|range| bytes.slice(at(range.start)..at(range.end)));
            hand_out(parts.collect()).await
        } else {
            let (path, ranges) = (stretch.name(), ranges.collect());
            self.fetcher.together(&path, ranges, hand_out).await
        };
        match handed_out {
            Ok(()) => {
                let (from, frames) = (stretch.name(), stretch.frames.len());
                tracing::debug!(from, frames, ?came, in_all = ?begun.elapsed(), "came ahead");
                came.into_inner()
            }
            Err(error) => {
                tracing::warn!(%error, "reading ahead");
                None
            }
        }
    }

    fn unpack(
        &self,
        stretch: &Stretch,
        stored: &[Bytes],
        deliver: &impl Fn(&FetchedBlock) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        for (frame, stored) in stretch.frames.iter().zip(stored) {
            let blocks = frame.unpack(stored);
            let blocks = blocks.map_err(|why| StoreError::damaged(&stretch.name(), why))?;
            for block in &blocks {
                deliver(block).map_err(|error| StoreError::Volume(error.to_string()))?;
            }
            frame.arrived.store(true, Ordering::Release);
            self.arrived.notify_waiters();
        }
        Ok(())
    }
}

/// A stretch that somebody waits for.
struct Needed<'a>(&'a AtomicUsize);

impl<'a> Needed<'a> {
    fn new(needed: &'a AtomicUsize) -> Self {
        needed.fetch_add(1, Ordering::AcqRel);
        Self(needed)
    }
}

impl Drop for Needed<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Ends a stretch.
struct Over<'a> {
    stretch: &'a Stretch,
    arrived: &'a Notify,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.stretch.state.store(OVER, Ordering::Release);
        self.arrived.notify_waiters();
    }
}

impl Stretch {
    fn new(bytes: Where, frames: Vec<HotFrame>) -> Self {
        let frames = frames.into_iter().map(|frame| Frame {
            frame,
            arrived: AtomicBool::new(false),
        });
        Self {
            bytes,
            frames: frames.collect(),
            state: AtomicU8::new(WAITING),
            begun: Mutex::default(),
        }
    }

    fn range(&self) -> Range<u64> {
        let ranges = self.frames.iter().map(|frame| frame.frame.range());
        let joined = ranges.reduce(|all, one| all.start.min(one.start)..all.end.max(one.end));
        joined.unwrap_or_default()
    }

    /// What can be had without asking for it, if any: the place of its first byte, and the bytes.
    async fn here(&self) -> Option<(u64, Bytes)> {
        if let Where::Here(held) = &self.bytes {
            return Some((0, held.clone()));
        }
        let begun = self.begun.lock().take();
        begun?.bytes().await
    }

    fn pack(&self) -> Option<PackId> {
        match self.bytes {
            Where::Pack(pack) => Some(pack),
            Where::Here(_) => None,
        }
    }

    /// Whether the caller is the one to read it.
    fn take(&self) -> bool {
        let taken =
            self.state
                .compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire);
        taken.is_ok()
    }

    fn name(&self) -> String {
        match &self.bytes {
            Where::Pack(pack) => address::pack(*pack),
            Where::Here(_) => "the hot list".to_owned(),
        }
    }
}

impl Frame {
    /// Decompresses it and verifies its blocks.
    fn unpack(&self, stored: &[u8]) -> Result<Vec<FetchedBlock>, String> {
        let holds = usize::from(self.frame.slot.holds) * BLOCK_BYTES;
        let content = codec::decompress_exactly(stored, holds)?;
        let blocks = self
            .frame
            .blocks
            .iter()
            .map(|(slot, HotBlock { block, id })| {
                let at = usize::from(*slot) * BLOCK_BYTES;
                FetchedBlock::verified(*block, *id, content.slice(at..at + BLOCK_BYTES))
            });
        blocks.collect()
    }
}

/// The ranges of packs that a list has read first.
pub(crate) fn first_ranges(list: &HotList) -> Vec<PackRange> {
    let mut left = FIRST_BYTES;
    let stretches = in_stretches(list.frames.clone()).into_iter();
    let ranges = stretches.filter_map(|stretch| {
        let Range { start, end } = stretch.range();
        let pack = stretch.pack()?;
        Some(PackRange { pack, start, end })
    });
    let first = ranges.take(FIRST_RANGES).take_while(|range| {
        let fits = range.end - range.start <= left;
        left = left.saturating_sub(range.end - range.start);
        fits
    });
    first.collect()
}

/// Begins to read ranges of packs; no more than a list would name.
pub(super) fn begin(fetcher: &Fetcher, first: &[PackRange]) -> Vec<(PackId, Begun)> {
    let ranges = first.iter().take(FIRST_RANGES);
    let sound = ranges.filter(|PackRange { start, end, .. }| {
        start < end && *end <= PACK_MAX_BYTES as u64 && end - start <= FIRST_BYTES
    });
    let begun = sound.map(|PackRange { pack, start, end }| {
        let range = *start..*end;
        (*pack, fetcher.begin(address::pack(*pack), range))
    });
    begun.collect()
}

/// Joins frames of packs that lie side by side. The stretches come in the order of their first frames.
fn in_stretches(frames: Vec<HotFrame>) -> Vec<Stretch> {
    let mut frames: Vec<(usize, PackId, HotFrame)> = (0..)
        .zip(frames)
        .filter_map(|(order, frame)| Some((order, frame.pack?, frame)))
        .collect();
    frames.sort_by_key(|(_, pack, frame)| (*pack, frame.slot.offset));
    let mut joined: Vec<(usize, PackId, Range<u64>, Vec<HotFrame>)> = Vec::new();
    for (order, pack, frame) in frames {
        let range = frame.range();
        match joined.last_mut().filter(|(_, last, before, _)| {
            *last == pack
                && range.start <= before.end + GAP_BYTES
                && before.end - before.start < RANGE_BYTES
        }) {
            Some((first, _, before, frames)) => {
                *first = order.min(*first);
                before.end = range.end.max(before.end);
                frames.push(frame);
            }
            None => joined.push((order, pack, range, vec![frame])),
        }
    }
    joined.sort_by_key(|(order, ..)| *order);
    joined
        .into_iter()
        .map(|(_, pack, _, frames)| Stretch::new(Where::Pack(pack), frames))
        .collect()
}
