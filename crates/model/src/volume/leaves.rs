//! Which leaves of a map a save writes again although nothing in them has changed.
//!
//! Each save writes the leaves that it changed as one object. What is left of older ones lies scattered over as many
//! objects as there were saves, and a job reads all leaves: a request for each. So what little is left of an object
//! goes along with what is written anyway. There are then only about as many objects as a save's part of all leaves
//! fits into the whole, and a leaf is written again only once most of those that it was written with have changed.

use std::collections::{BTreeSet, HashMap};

use crate::digest::LeavesId;
use crate::format::map::MapRoot;

/// Leaves that go along whatever a save changes: a save of one leaf would else never gather anything.
const ALONG_MIN: usize = 16;

/// The leaves that go along with those that `changed`: of each object of which at most half as many are left, the
/// smallest first, and no more than twice as many.
pub fn going_along(root: &MapRoot, changed: &BTreeSet<u32>) -> Vec<u32> {
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
            going_along(&root, &changed),
            [7, 8],
            "of 2 and 3 one is left"
        );
        let one = BTreeSet::from([0]);
        assert_eq!(going_along(&root, &one), [8]);
    }

    #[test]
    fn nothing_goes_along_with_nothing() {
        assert!(going_along(&volume([1, 2, 3]), &BTreeSet::new()).is_empty());
    }

    #[test]
    fn a_save_of_little_gathers_little_at_once() {
        let root = volume(0..1000);
        assert_eq!(going_along(&root, &BTreeSet::from([7])).len(), ALONG_MIN);
    }

    /// A thousand jobs, each of which changes what a build does: some leaves that every job changes, and some others.
    #[test]
    fn many_jobs_leave_few_objects_and_write_little_again() {
        let (mut root, mut written, mut along) = (volume([0; 40]), 0, 0);
        for job in 1..1000_u32 {
            let own = (0..4).map(|at| (job * 7 + at * 11) % 40);
            let changed: BTreeSet<u32> = (0..8).chain(own).collect();
            let more = going_along(&root, &changed);
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
