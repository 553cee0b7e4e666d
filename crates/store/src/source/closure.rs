//! What documents name, all the way down, each object read and verified. For whoever looks at a whole store:
//! jobs read lazily ([`Source`](super::Source), [`crate::archive`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use larder_model::archive::{Part, PartRef};
use larder_model::digest::{HotListId, LeavesId, MapId};
use larder_model::hot::HotList;
use larder_model::limits::LEAVES_MAX_BYTES;
use larder_model::map::{Leaf, LeafRef, MapRoot};
use larder_model::snapshot::Snapshot;
use larder_model::{address, pack};

use super::{decode_leaf, read_list, read_root};
use crate::archive::read_part;
use crate::codec;
use crate::fetch::Fetcher;
use larder_objects::{Objects, StoreError, blocking, verified, verified_whole};

/// Leaves of one object that lie within so many bytes are read with one request.
const LEAVES_BYTES: u64 = 4 * 1024 * 1024;

/// The root of a map.
pub async fn root(objects: &Objects, map: MapId) -> Result<MapRoot, StoreError> {
    read_root(&Fetcher::new(objects.clone()), map).await
}

/// A hot list of a volume of so many blocks.
pub async fn hot(objects: &Objects, id: HotListId, blocks: u64) -> Result<HotList, StoreError> {
    let bytes = read_list(&Fetcher::new(objects.clone()), id).await?;
    HotList::decode(&bytes, blocks).map_err(StoreError::format(&address::hot(id)))
}

/// A part of a recipe.
pub async fn part(objects: &Objects, place: PartRef) -> Result<Part, StoreError> {
    read_part(&Fetcher::new(objects.clone()), place).await
}

/// Leaves of one object, in the order of their offsets.
pub async fn leaves(
    objects: &Objects,
    object: LeavesId,
    mut places: Vec<LeafRef>,
) -> Result<Vec<(LeafRef, Arc<Leaf>)>, StoreError> {
    places.sort_by_key(|place| place.offset);
    let path = address::leaves(object);
    let mut found = Vec::with_capacity(places.len());
    let mut rest = &places[..];
    while let Some(first) = rest.first() {
        let start = first.range().start;
        let near = rest.partition_point(|place| place.range().end - start <= LEAVES_BYTES);
        let (group, others) = rest.split_at(near.max(1));
        rest = others;
        let end = group.iter().map(|place| place.range().end).max();
        let range = start..end.expect("it holds the first");
        let leaves = verified(
            || objects.get_range(&path, range.clone()),
            |bytes| async move {
                let leaves = group.iter().map(|place| {
                    let at = (place.range().start - start) as usize;
                    Ok((
                        *place,
                        decode_leaf(place, &bytes[at..at + place.bytes as usize])?,
                    ))
                });
                leaves.collect::<Result<Vec<_>, StoreError>>()
            },
        );
        found.extend(leaves.await?);
    }
    Ok(found)
}

/// Stores for good what a snapshot names that is published next, where a store must be told that.
pub async fn settle(objects: &Objects, snapshot: &Snapshot) -> Result<(), StoreError> {
    if objects.is_told_names() {
        let named = Box::pin(named(objects, snapshot)).await?;
        objects.settle(&named).await?;
    }
    Ok(())
}

/// The paths of all that a snapshot names.
async fn named(objects: &Objects, snapshot: &Snapshot) -> Result<BTreeSet<String>, StoreError> {
    let root = root(objects, snapshot.map).await?;
    let mut named = BTreeSet::from([address::map(snapshot.map)]);
    let mut by_object: BTreeMap<LeavesId, Vec<LeafRef>> = BTreeMap::new();
    for (_, place) in root.leaves() {
        by_object.entry(place.object).or_default().push(*place);
    }
    for (object, places) in by_object {
        named.insert(address::leaves(object));
        for (_, leaf) in leaves(objects, object, places).await? {
            named.extend(leaf.frames().map(|frame| address::pack(frame.pack)));
        }
    }
    if let Some(id) = snapshot.hot {
        let list = hot(objects, id, root.blocks()).await?;
        let packs = list.frames.iter().filter_map(|frame| frame.pack);
        named.insert(address::hot(id));
        named.extend(packs.map(address::pack));
    }
    Ok(named)
}

/// A whole object that is named by its content: every byte of it is compared with its digests, of a pack also
/// each block or chunk.
pub async fn whole(objects: &Objects, path: &str) -> Result<Bytes, StoreError> {
    // The largest objects are those of leaves.
    let checked = verified_whole(
        || objects.get(path, LEAVES_MAX_BYTES),
        |bytes| async move {
            let (own, content) = (path.to_owned(), bytes.clone());
            match blocking(move || fault(&own, &content)).await {
                Some(why) => Err(StoreError::damaged(path, why)),
                None => Ok(bytes),
            }
        },
        || objects.size(path),
    );
    checked.await
}

/// What is wrong with the bytes of an object.
fn fault(path: &str, bytes: &[u8]) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if *blake3::hash(bytes).to_hex() != *name {
        return Some("its bytes do not have the digest in its name".to_owned());
    }
    let is_pack = path.contains("/packs/");
    is_pack.then(|| fault_in_pack(bytes)).flatten()
}

fn fault_in_pack(bytes: &[u8]) -> Option<String> {
    let frames = match pack::read_index(bytes) {
        Ok(frames) => frames,
        Err(error) => return Some(error.to_string()),
    };
    frames.iter().find_map(|frame| {
        let start = frame.offset as usize;
        let stored = &bytes[start..start + frame.stored_bytes as usize];
        let content = match codec::decompress_exactly(stored, frame.content_bytes()) {
            Ok(content) => content,
            Err(why) => return Some(format!("the frame at {start}: {why}")),
        };
        let mut rest = &content[..];
        let wrong = frame.pieces.iter().any(|(id, bytes)| {
            let (piece, others) = rest.split_at(*bytes as usize);
            rest = others;
            blake3::hash(piece) != *id
        });
        wrong.then(|| format!("the frame at {start}: its content does not have its digests"))
    })
}
