//! Which contents the store has already, as far as the leaves that were read tell, and what this save has stored.

use std::collections::HashMap;
use std::sync::Arc;

use larder_model::digest::BlockId;
use larder_model::frame::BlockRef;
use larder_model::limits::LEAF_BLOCKS;
use larder_model::map::leaf_of;

use super::compact::Moving;
use crate::source::Source;

/// Blocks of the parent that a save compares with, at most: 128 GiB of content, 32 MB of table. Beyond it dedupe works
/// by place in the volume and within the job only.
const PARENT_BLOCKS_MAX: usize = 2 * 1024 * 1024;

/// Contents that have a place.
pub(super) struct Contents {
    source: Arc<Source>,
    moving: Arc<Moving>,
    /// Blocks of the parent, by the begin of their digests: what they are in full is in its leaves, and a table of that
    /// would be seven times as large.
    parent: Vec<(u64, u64)>,
    placed: HashMap<BlockId, BlockRef>,
}

impl Contents {
    /// What the leaves tell that were read, if they are believed, and what was `placed` since.
    pub(super) fn new(
        source: &Arc<Source>,
        moving: &Arc<Moving>,
        placed: impl Iterator<Item = (BlockId, BlockRef)>,
    ) -> Self {
        Self {
            source: Arc::clone(source),
            moving: Arc::clone(moving),
            parent: by_digest(source),
            placed: placed.chain(moving.moved()).collect(),
        }
    }

    /// Where a content rests.
    pub(super) fn get(&self, id: &BlockId) -> Option<BlockRef> {
        self.placed.get(id).copied().or_else(|| self.in_parent(id))
    }

    fn in_parent(&self, id: &BlockId) -> Option<BlockRef> {
        let begin = begin(id);
        let from = self.parent.partition_point(|(other, _)| *other < begin);
        let like = self.parent[from..]
            .iter()
            .take_while(|(other, _)| *other == begin);
        let mut rests = like.filter_map(|(_, block)| {
            let (index, at) = leaf_of(*block);
            self.source.leaf_if_read(index)?.get(at)
        });
        rests.find(|rests| rests.id == *id && !self.moving.leaves_pack(rests.frame.pack))
    }
}

fn by_digest(source: &Source) -> Vec<(u64, u64)> {
    if source.is_doubted() {
        return Vec::new();
    }
    let leaves = source.root().leaves().filter_map(|(index, _)| {
        let first = u64::from(index) * LEAF_BLOCKS as u64;
        Some((first, source.leaf_if_read(index)?))
    });
    let blocks = leaves.flat_map(|(first, leaf)| {
        let blocks = leaf.blocks();
        blocks.map(move |(at, rests)| (begin(&rests.id), first + at as u64))
    });
    let mut blocks: Vec<_> = blocks.take(PARENT_BLOCKS_MAX).collect();
    blocks.sort_unstable();
    blocks
}

fn begin(id: &BlockId) -> u64 {
    let bytes = id.as_bytes().first_chunk();
    u64::from_le_bytes(*bytes.expect("a digest has 32 bytes"))
}
