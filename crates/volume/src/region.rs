//! The state of the blocks of one region of the volume (the region that one leaf of the map covers).

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use larder_model::limits::LEAF_BLOCKS;
use parking_lot::Mutex;

/// All pages of a block are local.
pub(crate) const WHOLE: u16 = u16::MAX;

const WORDS: usize = LEAF_BLOCKS / 64;

/// One bit for each block of a region.
#[derive(Debug, Default)]
pub(crate) struct Bits([AtomicU64; WORDS]);

impl Bits {
    /// Sets a bit; whether it was set before.
    pub(crate) fn set(&self, at: usize) -> bool {
        let bit = 1 << (at % 64);
        self.0[at / 64].fetch_or(bit, Ordering::AcqRel) & bit != 0
    }

    pub(crate) fn clear(&self, at: usize) {
        self.take(at);
    }

    /// Clears a bit; whether it was set.
    pub(crate) fn take(&self, at: usize) -> bool {
        let bit = 1 << (at % 64);
        self.0[at / 64].fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    pub(crate) fn get(&self, at: usize) -> bool {
        self.0[at / 64].load(Ordering::Acquire) & (1 << (at % 64)) != 0
    }
}

/// What is known of each block of a region.
///
/// A page that is local is in the local file, which alone knows its truth; it never becomes absent
/// again. Pages that are not local have the content that the snapshot says.
#[derive(Debug)]
pub(crate) struct Region {
    local: Box<[AtomicU16]>,
    /// Pages whose content is this job's, or nobody's: nothing of it is the snapshot's.
    own: Box<[AtomicU16]>,
    /// Blocks that this job wrote or discarded.
    pub dirty: Bits,
    /// Blocks that are zero because they were discarded as a whole and not written since.
    pub zeroed: Bits,
    /// Blocks that were written since somebody last looked for quiet ones.
    pub stirred: Bits,
    /// Blocks that are being stored, or were, while the job runs, and were not written since.
    pub early: Bits,
    /// Blocks of which this job needed something that is the snapshot's, for the hot list.
    pub read: Bits,
    /// Held while pages become local, so that what was fetched never overwrites what was written.
    pub filling: Mutex<()>,
}

impl Default for Region {
    fn default() -> Self {
        Self {
            local: no_pages(),
            own: no_pages(),
            dirty: Bits::default(),
            zeroed: Bits::default(),
            stirred: Bits::default(),
            early: Bits::default(),
            read: Bits::default(),
            filling: Mutex::default(),
        }
    }
}

fn no_pages() -> Box<[AtomicU16]> {
    (0..LEAF_BLOCKS).map(|_| AtomicU16::new(0)).collect()
}

impl Region {
    /// The local pages of a block, one bit each.
    pub(crate) fn local(&self, at: usize) -> u16 {
        self.local[at].load(Ordering::Acquire)
    }

    /// The job has changed a block. Call it after it was written: what was stored of it early may have
    /// been read before, or half of it.
    pub(crate) fn note_change(&self, at: usize) {
        self.dirty.set(at);
        self.stirred.set(at);
        self.early.clear(at);
    }

    /// Blocks that the job wrote, whole and not since this was last asked, and that are not stored yet.
    pub(crate) fn quiet(&self) -> impl Iterator<Item = usize> {
        (0..LEAF_BLOCKS).filter(|at| {
            let stirred = self.stirred.take(*at);
            let waits = self.dirty.get(*at) && !self.zeroed.get(*at) && !self.early.get(*at);
            waits && !stirred && self.local(*at) == WHOLE
        })
    }

    /// Pages are in the local file now. Call it after they were written there.
    pub(crate) fn set_local(&self, at: usize, pages: u16) {
        self.local[at].fetch_or(pages, Ordering::AcqRel);
    }

    /// The pages of a block of which nothing is the snapshot's, one bit each.
    pub(crate) fn own(&self, at: usize) -> u16 {
        self.own[at].load(Ordering::Acquire)
    }

    /// The job has written these pages, or nobody needs them.
    pub(crate) fn set_own(&self, at: usize, pages: u16) {
        self.own[at].fetch_or(pages, Ordering::AcqRel);
    }
}
