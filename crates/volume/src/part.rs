//! A request, block by block.

use std::ops::Range;

use larder_model::limits::{BLOCK_BYTES, PAGE_BYTES};

use crate::region::{Region, WHOLE};

/// A block, and where account is kept of it. Made once for each block of a request, and handed down.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) block: u64,
    /// The leaf of the map that says where the store has the block.
    pub(crate) leaf: u32,
    /// The region that this leaf covers.
    pub(crate) region: &'a Region,
    /// The block's number in both.
    pub(crate) at: usize,
}

/// The bytes of one block that a request is about.
pub(crate) struct Part<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) within: Range<usize>,
}

impl Place<'_> {
    /// Where the block begins, in the volume as in the local file.
    pub(crate) fn offset(&self) -> u64 {
        self.block * BLOCK_BYTES as u64
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.region.local(self.at) == WHOLE
    }
}

impl Part<'_> {
    pub(crate) fn pages(&self) -> u16 {
        page_bits(
            self.within.start / PAGE_BYTES,
            self.within.end.div_ceil(PAGE_BYTES),
        )
    }

    /// The pages of which only a part is meant.
    pub(crate) fn cut_pages(&self) -> u16 {
        let first_whole = self.within.start.div_ceil(PAGE_BYTES);
        let end_whole = (self.within.end / PAGE_BYTES).max(first_whole);
        self.pages() & !page_bits(first_whole, end_whole)
    }

    /// Where the part is in the volume.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.place.offset();
        start + self.within.start as u64..start + self.within.end as u64
    }
}

fn page_bits(start: usize, end: usize) -> u16 {
    pages_below(end) & !pages_below(start)
}

fn pages_below(page: usize) -> u16 {
    ((1_u32 << page) - 1) as u16
}
