//! Storing blocks while the job still runs, so that less is left for its end.
//!
//! What is stored early makes nothing visible: packs that no map names yet. A block that is written again
//! afterwards is stored again, and its first copy is waste that a collection of the store finds.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_local::clock::uptime_ms;
use larder_model::habit::{self, Reads};
use larder_model::hot::HotFrame;
use larder_model::limits::HOT_LIST_HELD_BLOCKS;
use larder_model::map::leaf_of;
use larder_model::retention::REUSE_MS;

use super::classify::Workers;
use super::{Assembled, Changed, Changes, PackProgress, finish, store_changed, together};
use crate::source::Source;
use larder_objects::StoreError;

/// What was stored early.
#[derive(Debug, Default)]
pub struct Early {
    /// Blocks that were looked at; those that do not differ from the snapshot are not among the changes.
    done: HashSet<u64>,
    changes: Changes,
    new_blocks: u64,
    /// What the job read, stored together.
    copies: Vec<HotFrame>,
    /// How much of what it read was looked at for that.
    seen: usize,
    progress: Arc<PackProgress>,
    /// When the first of it was stored, by the machine's uptime.
    since_ms: Option<u64>,
}

impl Early {
    /// Stores what these blocks hold now, at leisure. If this fails or is given up, they are not stored.
    pub async fn store<R>(
        &mut self,
        source: &Arc<Source>,
        blocks: Vec<u64>,
        read: R,
    ) -> Result<(), StoreError>
    where
        R: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync + 'static,
    {
        self.since_ms.get_or_insert_with(uptime_ms);
        // What was stored of them before is of another content.
        self.done
            .retain(|block| blocks.binary_search(block).is_err());
        let before = Assembled {
            changes: kept(&self.changes, &self.done),
            new_blocks: self.new_blocks,
            ..Assembled::default()
        };
        let changed = Changed {
            written: blocks.clone(),
            ..Changed::default()
        };
        let progress = Arc::clone(&self.progress);
        let stays = (Workers::Idle, &Arc::default());
        let (mut stored, _) =
            store_changed(source, changed, before, stays, read, &progress).await?;
        finish(&mut stored.uploads).await?;
        self.changes = stored.changes;
        self.new_blocks = stored.new_blocks;
        self.done.extend(blocks);
        Ok(())
    }

    /// Stores together what the job has read since the last time, once that is `blocks_min` blocks, at leisure.
    pub async fn copy<R>(
        &mut self,
        source: &Arc<Source>,
        reads: &Reads,
        blocks_min: usize,
        read: R,
    ) -> Result<(), StoreError>
    where
        R: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync + 'static,
    {
        if reads.blocks.len() - self.seen < blocks_min {
            return Ok(());
        }
        let beyond = (self.seen, HOT_LIST_HELD_BLOCKS);
        let blocks = habit::gather_early(source.hot().frames(), reads, beyond, |block| {
            source.id_of(block)
        });
        if blocks.is_empty() {
            // Copies of all of it are there: nobody need look again.
            self.seen = reads.blocks.len();
        }
        if blocks.len() < blocks_min {
            return Ok(());
        }
        self.since_ms.get_or_insert_with(uptime_ms);
        let frames = together::copy(source, blocks, read, &self.progress).await?;
        self.seen = reads.blocks.len();
        self.copies.extend(frames);
        Ok(())
    }

    /// What is still good of it, as the start of a save, and the copies of what the job read. Of the blocks that are
    /// said to be as they were, those that were not stored become written ones.
    pub(super) fn begin(mut self, changed: &mut Changed) -> (Assembled, Vec<HotFrame>) {
        // Nothing names it yet, so a collection may have removed it by now.
        let is_old = |since_ms| uptime_ms().saturating_sub(since_ms) > REUSE_MS;
        if self.since_ms.is_some_and(is_old) {
            self.done.clear();
            self.copies.clear();
        }
        let (good, lost): (HashSet<u64>, Vec<u64>) = (
            changed
                .early
                .iter()
                .copied()
                .filter(|block| self.done.contains(block))
                .collect(),
            changed
                .early
                .iter()
                .copied()
                .filter(|block| !self.done.contains(block))
                .collect(),
        );
        changed.written.extend(lost);
        changed.written.sort_unstable();
        let stored = Assembled {
            changes: kept(&self.changes, &good),
            new_blocks: self.new_blocks,
            ..Assembled::default()
        };
        (stored, self.copies)
    }

    /// Bytes that were stored.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.progress.stored_bytes.load(Ordering::Relaxed)
    }
}

/// The changes of some blocks.
fn kept(changes: &Changes, blocks: &HashSet<u64>) -> Changes {
    let mut kept = Changes::new();
    for block in blocks {
        let (index, at) = leaf_of(*block);
        if let Some(change) = changes.get(&index).and_then(|places| places.get(&at)) {
            kept.entry(index).or_default().insert(at, *change);
        }
    }
    kept
}
