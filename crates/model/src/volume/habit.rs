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

/// Blocks that a job wrote which the next one reads ahead (32 MiB). Of more it reads only a part, and nobody
/// can tell which.
const WRITTEN_MAX: usize = 512;

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
    /// Those in which its save stored what it wrote.
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
    let written = worth_reading(stored.written, &mut covered);
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
    Gathering {
        kept,
        written,
        held,
        together: missing.filter_map(|block| with_id(*block, &now)).collect(),
        new,
        held_max,
    }
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
    let covered: HashSet<u64> = blocks.map(|(_, one)| one.block).collect();
    let held = reads.at_start.min(held_max);
    let new = reads.blocks.iter().skip(seen.max(held));
    let missing = new.filter(|block| !covered.contains(block));
    missing
        .filter_map(|block| with_id(*block, &id_of))
        .collect()
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
    let blocks = frame.blocks.iter().map(|(_, one)| one.block);
    let read = blocks.filter(|block| was_read.contains(block)).count();
    let idle = if is_most(read, &frame) {
        0
    } else {
        frame.idle.saturating_add(1)
    };
    let stays = is_most(frame.blocks.len(), &frame) && idle <= IDLE_JOBS_MAX;
    stays.then_some(HotFrame { idle, ..frame })
}

/// Those of the frames in which a save stored what its job wrote that the next job reads ahead, without the
/// blocks that are covered already; their own are afterwards. A frame of which little is in use is an older
/// one, which happened to have the same content.
fn worth_reading(mut written: Vec<HotFrame>, covered: &mut HashSet<u64>) -> Vec<HotFrame> {
    written.retain(|frame| is_most(frame.blocks.len(), frame));
    let blocks: usize = written.iter().map(|frame| frame.blocks.len()).sum();
    if blocks > WRITTEN_MAX {
        return Vec::new();
    }
    for frame in &mut written {
        frame.idle = WRITTEN;
        frame.blocks.retain(|(_, one)| covered.insert(one.block));
    }
    written.retain(|frame| !frame.blocks.is_empty());
    written
}

/// Whether so many blocks are two thirds of a frame.
fn is_most(blocks: usize, frame: &HotFrame) -> bool {
    blocks * 3 >= usize::from(frame.slot.holds) * 2
}

impl Gathering {
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

    /// A handful of blocks is no pack of its own if the list has room for it.
    fn hold_the_few(&mut self) {
        if self.held.len() + self.together.len() <= self.held_max {
            self.held.append(&mut self.together);
        }
    }
}

/// Puts frames in the order in which a job read them first; those that it wrote come first of all, and those
/// that it did not read last.
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
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::frame::FrameSlot;
    use crate::format::limits::HOT_LIST_HELD_BLOCKS as HELD;

    fn id(block: u64) -> BlockId {
        BlockId::of(&block.to_le_bytes())
    }

    fn frames(pack: u8, blocks: std::ops::Range<u64>) -> Vec<HotFrame> {
        let all: Vec<u64> = blocks.collect();
        let frame = |(at, blocks): (usize, &[u64])| HotFrame {
            pack: Some(PackId::of(&[pack])),
            slot: FrameSlot {
                offset: at as u32 * 1000,
                stored_bytes: 1000,
                holds: blocks.len() as u8,
            },
            idle: 0,
            blocks: (0..)
                .zip(blocks.iter().map(|block| HotBlock {
                    block: *block,
                    id: id(*block),
                }))
                .collect(),
        };
        all.chunks(16).enumerate().map(frame).collect()
    }

    fn reads(blocks: std::ops::Range<u64>, at_start: usize) -> Reads {
        Reads {
            blocks: blocks.collect(),
            at_start,
        }
    }

    fn saved(written: Vec<HotFrame>) -> Stored {
        Stored {
            written,
            ..Stored::default()
        }
    }

    fn numbers(blocks: &[HotBlock]) -> Vec<u64> {
        blocks.iter().map(|one| one.block).collect()
    }

    #[test]
    fn a_first_list_holds_the_start_and_gathers_the_rest() {
        let gathered = gather(&[], Stored::default(), &reads(0..500, 10), HELD, |block| {
            Some(id(block))
        })
        .settled();
        assert_eq!(numbers(&gathered.held), (0..10).collect::<Vec<_>>());
        assert_eq!(numbers(&gathered.together), (10..500).collect::<Vec<_>>());
        let zero = gather(&[], Stored::default(), &reads(0..500, 10), HELD, |block| {
            (block > 450).then(|| id(block))
        })
        .settled();
        assert_eq!(zero.held.len(), 49, "a few blocks need no pack");
        assert!(zero.together.is_empty(), "{zero:?}");
    }

    #[test]
    fn a_job_that_reads_the_same_stores_nothing_again() {
        let before = frames(1, 16..512);
        let gathered = gather(
            &before,
            Stored::default(),
            &reads(0..512, 16),
            HELD,
            |block| Some(id(block)),
        )
        .settled();
        assert_eq!(gathered.kept, before);
        assert_eq!(numbers(&gathered.held), (0..16).collect::<Vec<_>>());
        assert!(gathered.together.is_empty());
    }

    #[test]
    fn what_was_copied_while_the_job_ran_is_not_copied_again() {
        let (before, reads) = (frames(1, 16..32), reads(0..600, 16));
        let all = |block| Some(id(block));
        let first = Reads {
            blocks: reads.blocks[..300].to_vec(),
            ..reads
        };
        let early = gather_early(before.iter(), &first, (0, HELD), all);
        assert_eq!(numbers(&early), (32..300).collect::<Vec<_>>());
        let copies = frames(2, 32..300);
        let listed = before.iter().chain(&copies);
        let rest = gather_early(listed, &reads, (300, HELD), all);
        assert_eq!(numbers(&rest), (300..600).collect::<Vec<_>>());
        let stored = Stored {
            copies: copies.clone(),
            ..Stored::default()
        };
        let changed = |block: u64| Some(id(block + if block < 48 { 1000 } else { 0 }));
        let gathered = gather(&before, stored, &reads, HELD, changed).settled();
        assert_eq!(gathered.kept, copies[1..], "one was changed afterwards");
        let together = numbers(&gathered.together);
        assert_eq!(together, (16..48).chain(300..600).collect::<Vec<_>>());
    }

    #[test]
    fn what_changed_is_gathered_anew_and_never_taken_from_an_old_frame() {
        let before = frames(1, 0..512);
        let changed =
            |block: u64| Some(id(block + if block < 8 || block == 100 { 1000 } else { 0 }));
        let gathered =
            gather(&before, Stored::default(), &reads(0..512, 0), HELD, changed).settled();
        assert_eq!(gathered.kept.len(), 31, "half of the first frame changed");
        let kept = gathered.kept.iter().flat_map(|frame| &frame.blocks);
        assert!(
            kept.clone()
                .all(|(_, one)| changed(one.block) == Some(one.id))
        );
        assert_eq!(kept.count() + gathered.held.len(), 512, "all is somewhere");
        assert_eq!(gathered.held.len(), 17);
    }

    #[test]
    fn what_nobody_reads_goes_after_some_jobs_not_at_once() {
        let mut before = frames(1, 0..512);
        for _ in 0..IDLE_JOBS_MAX {
            before = gather(&before, Stored::default(), &reads(0..8, 0), HELD, |block| {
                Some(id(block))
            })
            .settled()
            .kept;
            assert_eq!(before.len(), 32);
        }
        let gathered = gather(&before, Stored::default(), &reads(0..8, 0), HELD, |block| {
            Some(id(block))
        })
        .settled();
        assert!(gathered.kept.is_empty(), "{gathered:?}");
        assert_eq!(numbers(&gathered.held), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn small_packs_are_taken_in_and_large_ones_stay() {
        let before = [frames(1, 0..1024), frames(2, 1024..1056)].concat();
        let gathered = gather(
            &before,
            Stored::default(),
            &reads(0..1200, 0),
            HELD,
            |block| Some(id(block)),
        )
        .settled();
        assert_eq!(gathered.kept, frames(1, 0..1024));
        assert_eq!(gathered.together.len(), 1200 - 1024);
    }

    #[test]
    fn what_a_job_wrote_is_read_once_where_it_lies() {
        let written = frames(2, 600..632);
        let gathered = gather(&[], saved(written), &reads(0..616, 10), 10, |block| {
            Some(id(block))
        })
        .settled();
        assert_eq!(gathered.written.len(), 2);
        assert!(gathered.written.iter().all(|frame| frame.idle == WRITTEN));
        assert_eq!(numbers(&gathered.together), (10..600).collect::<Vec<_>>());
        let in_order = in_order(gathered.written.clone(), &reads(0..616, 10));
        let next = gather(
            &in_order,
            Stored::default(),
            &reads(600..604, 0),
            HELD,
            |block| Some(id(block)),
        )
        .settled();
        assert!(next.kept.is_empty(), "it was no copy: {next:?}");
        assert_eq!(numbers(&next.held), (600..604).collect::<Vec<_>>());
    }

    #[test]
    fn next_door_a_copy_of_what_is_loose_stays() {
        let all = |block| Some(id(block));
        let scattered = |blocks: &mut Vec<HotBlock>| {
            let each = std::mem::take(blocks).into_iter();
            each.map(|one| frames(one.block as u8, one.block..one.block + 1).remove(0))
                .collect()
        };
        let mut gathering = gather(&[], Stored::default(), &reads(0..16, 0), 0, all);
        assert!(gathering.leave(scattered).is_empty());
        let gathering = gathering.settled();
        assert_eq!(numbers(&gathering.together), (0..16).collect::<Vec<_>>());
        let copy = frames(99, 0..16);
        let mut next = gather(&copy, Stored::default(), &reads(0..17, 0), 0, all);
        assert_eq!(next.leave(scattered).len(), 1, "one is left where it lies");
        let next = next.settled();
        assert_eq!((next.kept, next.together), (copy, Vec::new()));
    }

    #[test]
    fn what_is_written_in_masses_or_was_there_before_is_left() {
        let all = |block| Some(id(block));
        let masses = frames(2, 0..WRITTEN_MAX as u64 + 16);
        let gathered = gather(&[], saved(masses), &reads(0..0, 0), HELD, all).settled();
        assert!(gathered.written.is_empty());
        let mut older = frames(2, 0..16);
        older[0].blocks.truncate(4);
        let gathered = gather(&[], saved(older), &reads(0..0, 0), HELD, all).settled();
        assert!(gathered.written.is_empty());
        let held = gather(&[], saved(frames(2, 0..16)), &reads(0..16, 16), HELD, all).settled();
        assert!(held.written.is_empty(), "the list holds it all: {held:?}");
    }

    /// A lineage of many commits, each of which changes some blocks and reads some new ones: the number of
    /// packs stays small, and so does what is written again and again.
    #[test]
    fn many_jobs_leave_few_packs_and_copy_little() {
        let (mut before, mut written) = (Vec::new(), 0);
        for job in 1..300_u64 {
            let now = |block: u64| {
                Some(id(
                    block * 1000 + if block % 97 == job % 97 { job } else { 0 }
                ))
            };
            let gathered = gather(
                &before,
                Stored::default(),
                &reads(0..2000 + job, 32),
                HELD,
                now,
            )
            .settled();
            written += gathered.together.len();
            let pack = PackId::of(&job.to_le_bytes());
            before = gathered.kept;
            let new = gathered.together.chunks(16).map(|blocks| HotFrame {
                pack: Some(pack),
                slot: FrameSlot {
                    offset: 0,
                    stored_bytes: 1000,
                    holds: blocks.len() as u8,
                },
                idle: 0,
                blocks: (0..).zip(blocks.iter().copied()).collect(),
            });
            before.extend(new);
            let packs: HashSet<_> = before.iter().map(|frame| frame.pack).collect();
            assert!(packs.len() <= 12, "{} packs after {job} jobs", packs.len());
        }
        assert!(written < 300 * 300, "{written} blocks were stored again");
    }
}
