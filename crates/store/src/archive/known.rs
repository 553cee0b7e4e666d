//! The chunks that need not be stored again: those of the parent archive, and of this one so far.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt as _;
use larder_model::archive::{Archive, Part, PartRef, Place};
use larder_model::digest::{ChunkId, PackId};

use super::frames::Frames;
use super::recipes;
use crate::fetch::Fetcher;
use larder_objects::{Objects, StoreError};

/// Most chunks that are remembered: about 28 GiB of content, in a table of 26 MB (it doubles at the
/// next one). Chunks beyond it are stored although they may be there.
const KNOWN_MAX: usize = (512 * 1024 / 8) * 7;
/// Parts read at once.
const PART_READS: usize = 8;

/// Where a chunk is: in a frame of this save's numbering, at an offset in its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resting {
    pub frame: u32,
    pub offset: u32,
}

/// Chunks by content.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<ChunkId, Resting>);

impl Known {
    pub(super) fn get(&self, id: ChunkId) -> Option<Resting> {
        self.0.get(&id).copied()
    }

    /// Remembers a chunk, if there is room.
    pub(super) fn insert(&mut self, id: ChunkId, resting: Resting) {
        if self.0.len() < KNOWN_MAX {
            self.0.insert(id, resting);
        }
    }

    /// All chunks of archives but for those in packs that are left; their frames get numbers in `frames`.
    pub(super) async fn of(
        objects: &Objects,
        archives: &[&Archive],
        left: &HashSet<PackId>,
        frames: &mut Frames,
    ) -> Result<Self, StoreError> {
        let mut known = Self::default();
        let fetcher = Fetcher::new(objects.clone());
        let parts: Vec<PartRef> = archives
            .iter()
            .flat_map(|archive| archive.blobs.values())
            .flat_map(|blob| match &blob.place {
                Place::Inline(_) => Vec::new(),
                Place::Recipe(parts) => parts.clone(),
            })
            .collect();
        let mut reads = futures_util::stream::iter(parts)
            .map(|place| recipes::read(&fetcher, place))
            .buffered(PART_READS);
        while let Some(part) = reads.next().await {
            match part {
                Ok(part) => known.add(&part, left, frames),
                // Its chunks are stored again, which mends what can be mended.
                Err(error) if error.is_damage() => tracing::warn!("{error}"),
                Err(error) => return Err(error),
            }
            if known.0.len() >= KNOWN_MAX {
                break;
            }
        }
        Ok(known)
    }

    fn add(&mut self, part: &Part, left: &HashSet<PackId>, frames: &mut Frames) {
        let own = part.frames();
        let numbers: Vec<u32> = own.iter().map(|frame| frames.known(*frame)).collect();
        let chunks = part.chunks();
        for chunk in chunks.filter(|one| !left.contains(&own[one.frame as usize].pack)) {
            let resting = Resting {
                frame: numbers[chunk.frame as usize],
                offset: chunk.offset,
            };
            self.insert(chunk.id, resting);
        }
    }
}
