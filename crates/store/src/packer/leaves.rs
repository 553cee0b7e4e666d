//! Writing the leaves that a save changed, those that go along with them, and the new root.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use larder_model::address;
use larder_model::digest::{LeafId, LeavesId, MapId};
use larder_model::leaves::going_along;
use larder_model::limits::{LEAF_MAX_BYTES, LEAVES_MAX_BYTES};
use larder_model::map::{LeafRef, MapRoot};

use super::{Changes, PackProgress, Touched};
use crate::source::Source;
use larder_objects::{Objects, StoreError};

/// New leaves that become one object.
#[derive(Default)]
struct LeavesObject {
    bytes: Vec<u8>,
    leaves: BTreeMap<u32, (LeafId, u32, u32)>,
}

/// Writes the changed leaves and the root that has them. Leaves that are as they were, and all that
/// were not touched, stay where the parent has them, but for those that go along, and if not all are written `anew`;
/// those that are placed already are named there.
pub(super) async fn write(
    source: &Source,
    touched: &Touched,
    changes: &Changes,
    (anew, placed): (bool, &mut HashMap<LeafId, LeafRef>),
    progress: &PackProgress,
) -> Result<MapId, StoreError> {
    let mut root = source.root().clone();
    let mut object = LeavesObject::default();
    let again = again(source, changes, anew);
    for &index in changes.keys().chain(&again).collect::<BTreeSet<_>>() {
        let before = match touched.get(&index) {
            Some(known) => known.clone(),
            None => source.leaf(index).await?,
        };
        let before = before.unwrap_or_default();
        let leaf = match changes.get(&index) {
            Some(changes) => &before.edited(changes),
            None => &*before,
        };
        let (id, bytes) = leaf.encode();
        if leaf.is_empty() {
            root.set_leaf(index, None);
        } else if let Some(place) = placed.get(&id) {
            root.set_leaf(index, Some(*place));
        } else if again.contains(&index) || root.leaf(index).is_none_or(|old| old.id != id) {
            let place = (id, object.bytes.len() as u32, bytes.len() as u32);
            object.leaves.insert(index, place);
            object.bytes.extend_from_slice(&bytes);
        }
        if object.bytes.len() > LEAVES_MAX_BYTES - LEAF_MAX_BYTES {
            let full = give_places(std::mem::take(&mut object), &mut root, placed);
            put(source.objects(), full, progress).await?;
        }
    }
    let mut last = Vec::new();
    if !object.leaves.is_empty() {
        last.push(give_places(object, &mut root, placed));
    }
    let (id, bytes) = root.encode();
    last.push((address::map(id), bytes));
    // Side by side: whoever finds the root finds it through a snapshot, which comes after both.
    let uploads = last
        .into_iter()
        .map(|one| put(source.objects(), one, progress));
    futures_util::future::try_join_all(uploads).await?;
    Ok(id)
}

/// The leaves that are written again whether or not they have changed: all, or those that go along. A leaf that would
/// have to be read for it stays where it is.
fn again(source: &Source, changes: &Changes, anew: bool) -> BTreeSet<u32> {
    let root = source.root();
    if anew {
        return root.leaves().map(|(index, _)| index).collect();
    }
    let along = going_along(root, &changes.keys().copied().collect(), &source.strays());
    let here = along
        .into_iter()
        .filter(|index| source.leaf_if_read(*index).is_some());
    here.collect()
}

/// Gives its leaves their places in the root; returns its path and its bytes.
fn give_places(
    object: LeavesObject,
    root: &mut MapRoot,
    placed: &mut HashMap<LeafId, LeafRef>,
) -> (String, Vec<u8>) {
    let id = LeavesId::of(&object.bytes);
    for (index, (leaf, offset, bytes)) in object.leaves {
        let place = LeafRef {
            id: leaf,
            object: id,
            offset,
            bytes,
        };
        root.set_leaf(index, Some(place));
        placed.insert(leaf, place);
    }
    (address::leaves(id), object.bytes)
}

async fn put(
    objects: &Objects,
    (path, bytes): (String, Vec<u8>),
    progress: &PackProgress,
) -> Result<(), StoreError> {
    let len = bytes.len() as u64;
    objects.put(&path, bytes).await?;
    progress.stored_bytes.fetch_add(len, Ordering::Relaxed);
    Ok(())
}
