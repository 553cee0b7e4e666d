use super::*;
use crate::format::frame::FrameSlot;
use crate::format::hot::HotList;
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
    let changed = |block: u64| Some(id(block + if block < 8 || block == 100 { 1000 } else { 0 }));
    let gathered = gather(&before, Stored::default(), &reads(0..512, 0), HELD, changed).settled();
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
    let gathered = gather(&[], saved(masses.clone()), &reads(0..0, 0), HELD, all).settled();
    assert!(gathered.written.is_empty());
    let tables = Stored {
        rewritten: frames(3, 9000..9016),
        ..saved(masses.clone())
    };
    let gathered = gather(&[], tables, &reads(0..0, 0), HELD, all).settled();
    let kept: Vec<_> = gathered.written.iter().map(|frame| frame.pack).collect();
    assert_eq!(kept, [Some(PackId::of(&[3]))], "what was there before");
    let many = Stored {
        rewritten: masses,
        ..Stored::default()
    };
    let gathered = gather(&[], many, &reads(0..0, 0), HELD, all).settled();
    let kept: usize = gathered
        .written
        .iter()
        .map(|frame| frame.blocks.len())
        .sum();
    assert_eq!(kept, WRITTEN_MAX);
    let mut alike = frames(2, 0..16);
    for block in 100..100 + WRITTEN_MAX as u64 {
        alike[0].blocks.push((3, HotBlock { block, id: id(3) }));
    }
    alike[0].sort();
    let gathered = gather(&[], saved(alike), &reads(0..0, 0), HELD, all).settled();
    let kept: Vec<u64> = gathered.written[0]
        .blocks
        .iter()
        .map(|(_, one)| one.block)
        .collect();
    assert_eq!(kept, (0..16).collect::<Vec<u64>>(), "one of each content");
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

#[test]
fn a_list_names_no_more_than_it_may() {
    let all = frames(1, 0..HOT_LIST_MAX_BLOCKS as u64 + 32);
    let read = reads(16..HOT_LIST_MAX_BLOCKS as u64, 0);
    let list = HotList {
        frames: in_order(all.clone(), &read),
        held: Vec::new(),
    };
    assert_eq!(list.frames.first(), all.get(1), "what was read comes first");
    let (_, bytes) = list.encode();
    assert_eq!(HotList::decode(&bytes, 1 << 20), Ok(list));
}

#[test]
fn what_is_copied_already_under_another_number_is_named_there() {
    let twins = |block: u64| Some(id(block % 16));
    let copy = frames(1, 0..16);
    let early = gather_early(copy.iter(), &reads(0..40, 0), (0, 0), twins);
    assert!(early.is_empty(), "{early:?}");
    let gathered = gather(&copy, Stored::default(), &reads(0..20, 0), 0, twins).settled();
    assert!(gathered.together.is_empty(), "{gathered:?}");
    let listed: Vec<(u8, u64)> = gathered.kept[0]
        .blocks
        .iter()
        .map(|(place, one)| (*place, one.block))
        .collect();
    assert_eq!(listed[..4], [(0, 0), (0, 16), (1, 1), (1, 17)]);
    assert_eq!(listed.len(), 20);
    let few = |block: u64| twins(block).filter(|_| block % 16 < 8);
    let half = gather(&gathered.kept, Stored::default(), &reads(0..20, 0), 0, few).settled();
    assert!(half.kept.is_empty(), "eight places of sixteen: {half:?}");
}

#[test]
fn a_few_blocks_more_than_the_list_has_room_for_are_no_pack_of_their_own() {
    let before = frames(1, 64..576);
    for (new, held, together) in [(16, HELD + 16, 0), (17, HELD, 17)] {
        let reads = reads(0..576 + new, HELD);
        let all = |block| Some(id(block));
        let gathered = gather(&before, Stored::default(), &reads, HELD, all).settled();
        assert_eq!(gathered.kept, before);
        assert_eq!(
            (gathered.held.len(), gathered.together.len()),
            (held, together)
        );
        let near = gather(&before, Stored::default(), &reads, 0, all).settled();
        assert!(near.held.is_empty(), "{near:?}");
    }
}

#[test]
fn a_list_is_worth_what_was_read_of_its_frames() {
    let frames = frames(1, 0..32);
    let all = worth(frames.iter(), &reads(0..32, 0));
    assert_eq!((all.bytes, all.read), (2000, 2000));
    let some = worth(frames.iter(), &reads(0..20, 0));
    assert_eq!((some.bytes, some.read), (2000, 1250));
}
