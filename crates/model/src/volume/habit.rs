//! Which of the blocks that a job read are stored together again, for the next one to fetch in few
//! long reads.
//!
//! What a job reads lies scattered over the packs of many saves. A copy of it costs a save its bytes, so
//! copies are kept as long as they are good: a frame of them stays while two thirds of it are as they
//! were, and jobs read it. What is not in a frame that stays is gathered in a new pack, which takes in older
//! packs that are not much larger than itself. So there are only about as many packs as the size of the
//! whole has doublings, and a block is copied about as often.
//!
//! What a job wrote, the next one reads too: records of new images and layers, tables of the file system. That
//! lies together already, in the packs of its save, so the list names it there, for one job: what that one
//! reads of it is gathered like all else.

use std::collections::{HashMap, HashSet};

use crate::digest::{BlockId, PackId};
use crate::format::hot::{HotBlock, HotFrame, WRITTEN};
use crate::format::limits::HOT_LIST_MAX_BLOCKS;
use crate::volume::loose;

/// Jobs in a row that may leave a frame unread: a short job, or one that failed early, reads little,
/// and the next one reads as much as ever.
const IDLE_JOBS_MAX: u8 = 2;

/// Blocks that a job wrote which the next one reads ahead (32 MiB). Of more it reads only a part: what was there before
/// is more likely to be in it than new layers are.
const WRITTEN_MAX: usize = 512;

/// So many blocks, as a part of what a list may hold, it holds beyond that: 1 MiB.
const FEW_AMONG: usize = 4;

/// What a job read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Blocks that came from the store, in the order of first reading.
    pub blocks: Vec<u64>,
    /// How many of them were read by the time the engine answered.
    pub at_start: usize,
}

/// Frames that a job stored, for the map or while it ran.
#[derive(Debug, Default)]
pub struct Stored {
    /// Those in which its save stored what it wrote where something was before: tables of the file system, databases.
    pub rewritten: Vec<HotFrame>,
    /// Those with all else that it wrote.
    pub written: Vec<HotFrame>,
    /// Copies of what it read, stored while it ran.
    pub copies: Vec<HotFrame>,
}

/// What to store, and what stays.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gathering {
    /// Frames of earlier saves that stay.
    pub kept: Vec<HotFrame>,
    /// Frames that this save stored for the map.
    pub written: Vec<HotFrame>,
    /// Blocks whose bytes the hot list itself is to hold, in order.
    pub held: Vec<HotBlock>,
    /// Blocks that are to be stored together, in order.
    pub together: Vec<HotBlock>,
    /// Frames of this job that stay.
    new: Vec<HotFrame>,
    /// How many blocks the list itself may hold.
    held_max: usize,
}

/// Says after a job: `before` are the frames of the hot list that it started with, `now` says what
/// a block holds after it (nothing if it is zero, or if that is not known). The list itself is to hold
/// `held_max` blocks at most. [`Gathering::settled`] has the last word.
pub fn gather(
    before: &[HotFrame],
    stored: Stored,
    reads: &Reads,
    held_max: usize,
    now: impl Fn(u64) -> Option<BlockId>,
) -> Gathering {
    let read = &reads.blocks[..reads.blocks.len().min(HOT_LIST_MAX_BLOCKS)];
    let start = &read[..reads.at_start.min(read.len())];
    let held = start.iter().filter_map(|block| with_id(*block, &now));
    let held: Vec<HotBlock> = held.take(held_max).collect();
    let mut covered: HashSet<u64> = held.iter().map(|block| block.block).collect();
    let written = worth_reading(stored.rewritten, stored.written, &mut covered);
    let was_read: HashSet<u64> = read.iter().copied().collect();
    let mut stay = |frame: HotFrame| {
        let frame = stays(frame, &covered, &was_read, &now)?;
        covered.extend(frame.blocks.iter().map(|(_, one)| one.block));
        Some(frame)
    };
    let kept = before
        .iter()
        .filter(|frame| is_copy(frame))
        .filter_map(|frame| stay(frame.clone()))
        .collect();
    let new: Vec<HotFrame> = stored.copies.into_iter().filter_map(&mut stay).collect();
    let missing = read.iter().filter(|block| !covered.contains(block));
    let mut gathering = Gathering {
        kept,
        written,
        held,
        together: missing.filter_map(|block| with_id(*block, &now)).collect(),
        new,
        held_max,
    };
    gathering.name_what_is_stored();
    gathering
}

/// Which blocks are to be stored together while a job still runs, of those that it read after the first `seen`:
/// what no copy holds yet. `id_of` says what a block held when the job began.
pub fn gather_early<'a>(
    before: impl Iterator<Item = &'a HotFrame>,
    reads: &Reads,
    (seen, held_max): (usize, usize),
    id_of: impl Fn(u64) -> Option<BlockId>,
) -> Vec<HotBlock> {
    let copies = before.filter(|frame| is_copy(frame));
    let blocks = copies.flat_map(|frame| &frame.blocks);
    let (covered, contents): (HashSet<u64>, HashSet<BlockId>) =
        blocks.map(|(_, one)| (one.block, one.id)).unzip();
    let held = reads.at_start.min(held_max);
    let new = reads.blocks.iter().skip(seen.max(held));
    let missing = new.filter(|block| !covered.contains(block));
    let missing = missing.filter_map(|block| with_id(*block, &id_of));
    missing.filter(|one| !contents.contains(&one.id)).collect()
}

fn with_id(block: u64, id_of: &impl Fn(u64) -> Option<BlockId>) -> Option<HotBlock> {
    let id = id_of(block)?;
    Some(HotBlock { block, id })
}

/// Whether a frame is a copy, which can stay; else it is the list's own, or lies where the map has it.
fn is_copy(frame: &HotFrame) -> bool {
    frame.pack.is_some() && frame.idle != WRITTEN
}

/// A copy with those of its blocks that are as they were, and that nothing else holds; nothing if these are
/// few, or if jobs do not read it.
fn stays(
    mut frame: HotFrame,
    covered: &HashSet<u64>,
    was_read: &HashSet<u64>,
    now: &impl Fn(u64) -> Option<BlockId>,
) -> Option<HotFrame> {
    frame
        .blocks
        .retain(|(_, one)| now(one.block) == Some(one.id) && !covered.contains(&one.block));
    let read = frame.places(|block| was_read.contains(&block));
    let idle = if is_most(read, &frame) {
        0
    } else {
        frame.idle.saturating_add(1)
    };
    let stays = is_most(frame.places(|_| true), &frame) && idle <= IDLE_JOBS_MAX;
    stays.then_some(HotFrame { idle, ..frame })
}

/// Those of the frames in which a save stored what its job wrote that the next job reads ahead, without the
/// blocks that are covered already; their own are afterwards. A frame of which little is in use is an older
/// one, which happened to have the same content.
fn worth_reading(
    mut rewritten: Vec<HotFrame>,
    mut written: Vec<HotFrame>,
    covered: &mut HashSet<u64>,
) -> Vec<HotFrame> {
    let places = |frame: &HotFrame| frame.places(|_| true);
    for frames in [&mut rewritten, &mut written] {
        frames.retain(|frame| is_most(places(frame), frame));
    }
    let mut left = WRITTEN_MAX;
    if rewritten.iter().chain(&written).map(places).sum::<usize>() <= left {
        rewritten.append(&mut written);
    }
    rewritten.retain_mut(|frame| {
        frame.idle = WRITTEN;
        // Of many blocks that hold the same, one is enough to have it read.
        frame.blocks.dedup_by_key(|(place, _)| *place);
        let fits = frame.blocks.len() <= left;
        left = left.saturating_sub(frame.blocks.len());
        frame
            .blocks
            .retain(|(_, one)| fits && covered.insert(one.block));
        !frame.blocks.is_empty()
    });
    rewritten
}

/// Whether so many places are two thirds of a frame.
fn is_most(places: usize, frame: &HotFrame) -> bool {
    places * 3 >= usize::from(frame.slot.holds) * 2
}

impl Gathering {
    /// Of what is to be stored together, what a frame holds already under another number is named there instead.
    fn name_what_is_stored(&mut self) {
        let frames = self.kept.iter_mut().chain(&mut self.new);
        let mut frames: Vec<&mut HotFrame> = frames.chain(&mut self.written).collect();
        let mut places: HashMap<BlockId, (usize, u8)> = HashMap::new();
        for (at, frame) in frames.iter().enumerate() {
            let held = frame.blocks.iter();
            places.extend(held.map(|(slot, one)| (one.id, (at, *slot))));
        }
        self.together.retain(|one| match places.get(&one.id) {
            Some((at, slot)) => {
                frames[*at].blocks.push((*slot, *one));
                false
            }
            None => true,
        });
        frames.into_iter().for_each(HotFrame::sort);
    }

    /// Leaves where they lie those of the blocks that a near store reads well there; their frames. `lying` takes
    /// out the blocks of which it knows where that is.
    pub fn leave(
        &mut self,
        lying: impl FnOnce(&mut Vec<HotBlock>) -> Vec<HotFrame>,
    ) -> Vec<HotFrame> {
        let mut frames = lying(&mut self.together);
        self.together.extend(loose::take(&mut frames));
        frames
    }

    /// Decides what goes with what.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.take_in_small_packs();
        self.hold_the_few();
        // Not to be taken in at once: they are this job's own.
        self.kept.append(&mut self.new);
        self
    }

    /// Packs that hold at most twice of what is gathered go into the new one, the smallest first.
    fn take_in_small_packs(&mut self) {
        let mut sizes: HashMap<PackId, usize> = HashMap::new();
        for frame in &self.kept {
            let pack = frame.pack.expect("frames that the list holds are not kept");
            *sizes.entry(pack).or_default() += frame.blocks.len();
        }
        let mut packs: Vec<(usize, PackId)> =
            sizes.into_iter().map(|(id, size)| (size, id)).collect();
        packs.sort_unstable();
        for (size, pack) in packs {
            if size > 2 * self.together.len() {
                break;
            }
            for frame in self.kept.extract_if(.., |frame| frame.pack == Some(pack)) {
                self.together
                    .extend(frame.blocks.into_iter().map(|(_, one)| one));
            }
        }
    }

    /// A handful of blocks is no pack of its own, which would be a request of its own: the list has room for them, or
    /// for some more.
    fn hold_the_few(&mut self) {
        let all = self.held.len() + self.together.len();
        if all <= self.held_max || self.together.len() <= self.held_max / FEW_AMONG {
            self.held.append(&mut self.together);
        }
    }
}

/// What a list was worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Worth {
    /// Bytes of all its frames, as they are stored.
    pub bytes: u64,
    /// The part of them that falls to blocks which the job read.
    pub read: u64,
}

/// Says after a job what the list that it started with was worth.
pub fn worth<'a>(frames: impl Iterator<Item = &'a HotFrame>, reads: &Reads) -> Worth {
    let was_read: HashSet<u64> = reads.blocks.iter().copied().collect();
    let mut worth = Worth::default();
    for frame in frames {
        let (bytes, holds) = (
            u64::from(frame.slot.stored_bytes),
            u64::from(frame.slot.holds),
        );
        let read = frame.places(|block| was_read.contains(&block)) as u64;
        worth.bytes += bytes;
        worth.read += bytes * read / holds.max(1);
    }
    worth
}

/// Puts frames in the order in which a job read them first; those that it wrote come first of all, and those
/// that it did not read last. What a list may not name any more is left out.
pub fn in_order(mut frames: Vec<HotFrame>, reads: &Reads) -> Vec<HotFrame> {
    let numbered = reads.blocks.iter().enumerate();
    let first: HashMap<u64, usize> = numbered.map(|(at, block)| (*block, at)).collect();
    frames.sort_by_cached_key(|frame| {
        if frame.idle == WRITTEN {
            return 0;
        }
        let places = frame
            .blocks
            .iter()
            .filter_map(|(_, one)| first.get(&one.block));
        places.min().copied().unwrap_or(usize::MAX)
    });
    let mut left = HOT_LIST_MAX_BLOCKS;
    frames.retain(|frame| {
        let fits = frame.blocks.len() <= left;
        left = left.saturating_sub(frame.blocks.len());
        fits
    });
    frames
}

#[cfg(test)]
mod tests;
