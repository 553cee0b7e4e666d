//! Which leaves of a map a job reads, and which a save writes again although nothing in them has changed.
//!
//! Each save writes the leaves that it changed as one object. What is left of older ones lies scattered over as many
//! objects as there were saves, and a job reads all leaves: a request for each. So what little is left of an object
//! goes along with what is written anyway. There are then only about as many objects as a save's part of all leaves
//! fits into the whole, and a leaf is written again only once most of those that it was written with have changed.
//!
//! A large map is not read in whole, but what lies with what the last job read. A leaf that is read among many that are
//! not is a stray: it is read alone, and goes along with the next save's.

use std::collections::{BTreeSet, HashMap};

use crate::digest::LeavesId;
use crate::format::map::MapRoot;

/// Bytes of leaves of a map that is read in whole: those of some 14 GiB of content, so that a job costs the same however
/// much a volume holds. A leaf that is needed beyond what was read ahead costs a request.
pub const READ_MAX_BYTES: u64 = 8 * 1024 * 1024;
/// One leaf of so many, at least, must be read for an object to be read in whole.
const STRAY_AMONG: usize = 4;
/// Leaves that go along whatever a save changes: a save of one leaf would else never gather anything.
const ALONG_MIN: usize = 16;

/// Those of the leaves that are `read` that lie among many that are not.
pub fn strays(root: &MapRoot, read: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut objects: HashMap<LeavesId, (usize, usize)> = HashMap::new();
    for (index, place) in root.leaves() {
        let (all, of_read) = objects.entry(place.object).or_default();
        *all += 1;
        *of_read += usize::from(read.contains(&index));
    }
    let is_stray = |index: &u32| {
        let counts = root
            .leaf(*index)
            .and_then(|place| objects.get(&place.object));
        counts.is_some_and(|(all, of_read)| of_read * STRAY_AMONG < *all)
    };
    read.iter().copied().filter(is_stray).collect()
}

/// The leaves that go along with those that `changed`: of each object of which at most half as many are left, the
/// smallest first; then the `strays`; and no more than twice as many.
pub fn going_along(root: &MapRoot, changed: &BTreeSet<u32>, strays: &BTreeSet<u32>) -> Vec<u32> {
    if changed.is_empty() {
        return Vec::new();
    }
    let mut left: HashMap<LeavesId, Vec<u32>> = HashMap::new();
    for (index, place) in root.leaves() {
        if !changed.contains(&index) {
            left.entry(place.object).or_default().push(index);
        }
    }
    let few = (changed.len() / 2).max(1);
    let mut left: Vec<Vec<u32>> = left.into_values().collect();
    left.retain(|leaves| leaves.len() <= few);
    left.sort_unstable_by_key(|leaves| (leaves.len(), leaves.first().copied()));
    let gathered: BTreeSet<u32> = left.iter().flatten().copied().collect();
    let strays = strays.iter().filter(|index| !changed.contains(index));
    let strays = strays.filter(|index| !gathered.contains(index));
    left.extend(strays.map(|index| vec![*index]));
    let most = (2 * changed.len()).max(ALONG_MIN);
    let mut along = 0;
    let fitting = left.into_iter().take_while(|leaves| {
        along += leaves.len();
        along <= most
    });
    fitting.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::LeafId;
    use crate::format::map::LeafRef;

    fn place(object: u32) -> LeafRef {
        LeafRef {
            id: LeafId::of(b"leaf"),
            object: LeavesId::of(&object.to_le_bytes()),
            offset: 0,
            bytes: 1,
        }
    }

    /// A volume whose leaves lie in these objects.
    fn volume(objects: impl IntoIterator<Item = u32>) -> MapRoot {
        let mut root = MapRoot::empty(1 << 40).expect("a size");
        for (index, object) in (0..).zip(objects) {
            root.set_leaf(index, Some(place(object)));
        }
        root
    }

    fn objects_of(root: &MapRoot) -> usize {
        let objects: BTreeSet<_> = root.leaves().map(|(_, place)| place.object).collect();
        objects.len()
    }

    #[test]
    fn what_little_is_left_goes_along_and_the_rest_stays() {
        let root = volume([1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 4]);
        let changed = BTreeSet::from([0, 6, 9, 10]);
        assert_eq!(
            going_along(&root, &changed, &BTreeSet::new()),
            [7, 8],
            "of 2 and 3 one is left"
        );
        let one = BTreeSet::from([0]);
        assert_eq!(going_along(&root, &one, &BTreeSet::new()), [8]);
    }

    #[test]
    fn what_is_read_among_what_is_not_is_a_stray_and_goes_along_once() {
        let mut root = volume([1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 4]);
        let read = BTreeSet::from([0, 5, 9, 63]);
        let strays = strays(&root, &read);
        assert_eq!(
            strays,
            BTreeSet::from([0]),
            "a quarter is read of 2, and all of 3"
        );
        let changed = BTreeSet::from([9]);
        let along = going_along(&root, &changed, &strays);
        assert_eq!(along, [10, 0], "what is left of 4, and the stray");
        for index in changed.iter().copied().chain(along) {
            root.set_leaf(index, Some(place(5)));
        }
        assert!(super::strays(&root, &read).is_empty());
    }

    #[test]
    fn nothing_goes_along_with_nothing() {
        let (nothing, strays) = (BTreeSet::new(), BTreeSet::from([1]));
        assert!(going_along(&volume([1, 2, 3]), &nothing, &strays).is_empty());
    }

    #[test]
    fn a_save_of_little_gathers_little_at_once() {
        let root = volume(0..1000);
        let (changed, strays) = (BTreeSet::from([7]), (500..600).collect());
        assert_eq!(going_along(&root, &changed, &strays).len(), ALONG_MIN);
    }

    /// A thousand jobs, each of which changes what a build does: some leaves that every job changes, and some others.
    #[test]
    fn many_jobs_leave_few_objects_and_write_little_again() {
        let (mut root, mut written, mut along) = (volume([0; 40]), 0, 0);
        for job in 1..1000_u32 {
            let own = (0..4).map(|at| (job * 7 + at * 11) % 40);
            let changed: BTreeSet<u32> = (0..8).chain(own).collect();
            let more = going_along(&root, &changed, &BTreeSet::new());
            written += changed.len();
            along += more.len();
            for index in changed.into_iter().chain(more) {
                root.set_leaf(index, Some(place(job)));
            }
            assert!(
                objects_of(&root) <= 8,
                "{} after {job} jobs",
                objects_of(&root)
            );
        }
        assert!(along * 2 < written, "{along} went along with {written}");
    }
}
