//! The blocks of a volume on this machine: a sparse local file that holds what was fetched or
//! written, and what is known of each block.
//!
//! Reading an absent block needs a fetch first ([`Blocks::make_local`]); writing or discarding whole
//! pages of it does not. The local file is good for one session: after a crash it is thrown away.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_model::limits::{BLOCK_BYTES, LEAF_BLOCKS, PAGE_BYTES, PAGES_PER_BLOCK};
use larder_model::map::leaf_of;
use larder_store::{FetchedBlock, Source, StoreError};
use parking_lot::Mutex;
use rustix::fs::FallocateFlags;
use tokio::sync::Notify;

use crate::region::{Region, WHOLE};

/// Blocks of one request that are fetched at once.
const FETCHES_PER_REQUEST: usize = 8;

/// Bytes of the volume that one region covers.
const REGION_BYTES: u64 = (LEAF_BLOCKS * BLOCK_BYTES) as u64;

/// The blocks of an open volume.
#[derive(Debug)]
pub struct Blocks {
    file: File,
    source: Arc<Source>,
    regions: Vec<OnceLock<Region>>,
    trace: Mutex<Vec<u64>>,
    /// The first thing that went wrong; a volume with a fault is not published.
    fault: Mutex<Option<Fault>>,
    trimming: AtomicBool,
    waiting: AtomicUsize,
    idle: Notify,
}

/// Why a volume must not be published.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What happened, in one line.
    pub why: String,
    /// Whether the snapshot itself is damaged, so that nobody should try it again.
    pub damage: bool,
}

/// What a job did to a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Blocks that were written, ascending.
    pub written: Vec<u64>,
    /// Blocks that were discarded, ascending.
    pub zeroed: Vec<u64>,
}

/// A part of one block: the block, and the bytes of it.
struct Part {
    block: u64,
    within: Range<usize>,
}

impl Part {
    fn pages(&self) -> u16 {
        page_bits(
            self.within.start / PAGE_BYTES,
            self.within.end.div_ceil(PAGE_BYTES),
        )
    }

    /// The pages of which only a part is meant.
    fn cut_pages(&self) -> u16 {
        let whole = page_bits(
            self.within.start.div_ceil(PAGE_BYTES),
            (self.within.end / PAGE_BYTES).max(self.within.start.div_ceil(PAGE_BYTES)),
        );
        self.pages() & !whole
    }
}

fn page_bits(start: usize, end: usize) -> u16 {
    let below = |page: usize| ((1_u32 << page) - 1) as u16;
    below(end) & !below(start)
}

fn parts(range: Range<u64>) -> impl Iterator<Item = Part> {
    let size = BLOCK_BYTES as u64;
    (range.start / size..range.end.div_ceil(size)).map(move |block| {
        let start = range.start.max(block * size) - block * size;
        let end = range.end.min((block + 1) * size) - block * size;
        Part {
            block,
            within: start as usize..end as usize,
        }
    })
}

impl Blocks {
    /// The blocks of `source`, kept in `file`, which must be empty; it gets the volume's size.
    pub fn new(file: File, source: Arc<Source>) -> io::Result<Self> {
        file.set_len(source.root().volume_bytes())?;
        let regions = source.root().blocks().div_ceil(LEAF_BLOCKS as u64);
        Ok(Self {
            file,
            source,
            regions: (0..regions).map(|_| OnceLock::new()).collect(),
            trace: Mutex::default(),
            fault: Mutex::default(),
            trimming: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            idle: Notify::new(),
        })
    }

    /// Size of the volume.
    pub fn volume_bytes(&self) -> u64 {
        self.source.root().volume_bytes()
    }

    /// Where absent blocks come from.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    fn region(&self, block: u64) -> (&Region, usize) {
        let (index, at) = leaf_of(block);
        (
            self.regions[index as usize].get_or_init(Region::default),
            at,
        )
    }

    /// Whether the store holds nothing for a block, as far as that is known without asking it.
    fn known_zero(&self, block: u64) -> bool {
        let (index, at) = leaf_of(block);
        match self.source.leaf_if_read(index) {
            Some(leaf) => leaf.get(at).is_none(),
            None => self.source.root().leaf(index).is_none(),
        }
    }

    fn needs_fetch(&self, block: u64, pages: u16) -> bool {
        let (region, at) = self.region(block);
        if pages & !region.local(at) == 0 {
            return false;
        }
        if self.known_zero(block) {
            // The local file has a hole there: zeros, as it should.
            region.set_local(at, WHOLE);
            return false;
        }
        true
    }

    /// Whether a range can be read without a fetch.
    pub fn is_local(&self, range: Range<u64>) -> bool {
        parts(range).all(|part| !self.needs_fetch(part.block, part.pages()))
    }

    /// Whether a range can be written or zeroed without a fetch: it covers no absent page in part.
    pub fn is_writable(&self, range: Range<u64>) -> bool {
        parts(range).all(|part| !self.needs_fetch(part.block, part.cut_pages()))
    }

    /// Fetches what a range lacks. A failure is remembered as the volume's fault.
    pub async fn make_local(&self, range: Range<u64>) -> io::Result<()> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let absent = parts(range).filter(|part| self.needs_fetch(part.block, part.pages()));
        let fetched = futures_util::stream::iter(absent.map(|part| self.fetch(part.block)))
            .buffer_unordered(FETCHES_PER_REQUEST)
            .try_collect::<()>()
            .await;
        if self.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
        fetched
    }

    /// Waits until no request is waiting for a fetch: prefetching yields to real misses.
    pub(crate) async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.waiting.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Whether a block would have to be fetched to be read.
    pub(crate) fn is_absent(&self, block: u64) -> bool {
        self.needs_fetch(block, WHOLE)
    }

    /// Fetches one block, and what comes with it.
    pub(crate) async fn fetch(&self, block: u64) -> io::Result<()> {
        let fetched = self
            .source
            .fetch(block)
            .await
            .map_err(|error| self.store_fault(&error))?;
        if fetched.is_empty() {
            let (region, at) = self.region(block);
            region.set_local(at, WHOLE);
            return Ok(());
        }
        // Writing to the page cache may wait for the disk.
        tokio::task::block_in_place(|| fetched.iter().try_for_each(|block| self.fill(block)))
    }

    fn fill(&self, fetched: &FetchedBlock) -> io::Result<()> {
        let (region, at) = self.region(fetched.block);
        if region.local(at) == WHOLE {
            return Ok(());
        }
        let _filling = region.filling.lock();
        let local = region.local(at);
        let start = fetched.block * BLOCK_BYTES as u64;
        let mut page = 0;
        while page < 16 {
            let absent = (!local >> page).trailing_ones().min(16 - page as u32) as usize;
            if absent > 0 {
                let bytes = page * PAGE_BYTES..(page + absent) * PAGE_BYTES;
                let offset = start + bytes.start as u64;
                self.wrote(self.file.write_all_at(&fetched.content[bytes], offset))?;
            }
            page += absent.max(1);
        }
        region.set_local(at, WHOLE);
        Ok(())
    }

    /// Reads a range that is local, and records its blocks as read. What the job itself wrote, or
    /// the store has nothing of, is not recorded: it says nothing of what the next job reads.
    /// (Fetching first what a first job had read back of its own writing cost a build 107 MB.)
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let range = offset..offset + buffer.len() as u64;
        for part in parts(range) {
            let (region, at) = self.region(part.block);
            if !region.read.set(at) && !region.dirty.get(at) && !self.known_zero(part.block) {
                self.trace.lock().push(part.block);
            }
        }
        self.wrote(self.file.read_exact_at(buffer, offset))
    }

    /// Reads a block for saving it.
    pub fn read_block(&self, block: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, block * BLOCK_BYTES as u64)
    }

    /// Writes a range that is writable.
    pub fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let range = offset..offset + data.len() as u64;
        for part in parts(range) {
            let at_offset = part.block * BLOCK_BYTES as u64 + part.within.start as u64;
            let from = (at_offset - offset) as usize;
            let data = &data[from..from + part.within.len()];
            self.change(&part, || self.file.write_all_at(data, at_offset))?;
            let (region, at) = self.region(part.block);
            region.zeroed.clear(at);
        }
        Ok(())
    }

    /// Marks a part of a block as written by the job, around the write itself.
    fn change(&self, part: &Part, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let (region, at) = self.region(part.block);
        if region.local(at) == WHOLE {
            self.wrote(write())?;
        } else {
            let _filling = region.filling.lock();
            self.wrote(write())?;
            region.set_local(at, part.pages());
        }
        region.dirty.set(at);
        Ok(())
    }

    /// Whether discards are those of free space only, whose content nobody reads again.
    pub fn set_trimming(&self, trimming: bool) {
        self.trimming.store(trimming, Ordering::Release);
    }

    /// Whether it is being trimmed.
    pub fn is_trimming(&self) -> bool {
        self.trimming.load(Ordering::Acquire)
    }

    /// Fetches the blocks at the two ends of a range, where it may cover a page in part.
    pub async fn make_edges_local(&self, range: Range<u64>) -> io::Result<()> {
        self.make_local(range.start..range.start + 1).await?;
        self.make_local(range.end - 1..range.end).await
    }

    /// Makes a range zero and gives its space back. The range must be writable, unless the volume
    /// is being trimmed. A trim names free space, which nobody reads again, just before the local
    /// file is thrown away: so it gives no space back (punching a hole waits for the disk, some
    /// milliseconds each), and it leaves blocks that it cuts as they are, but for what this job
    /// wrote there, which must not be saved.
    pub fn discard(&self, range: Range<u64>) -> io::Result<()> {
        let size = REGION_BYTES;
        for region in range.start / size..range.end.div_ceil(size) {
            // A trim names all free space of a sparse volume: most of it was never anything else.
            if !self.is_blank(region) {
                let within = range.start.max(region * size)..range.end.min((region + 1) * size);
                self.discard_in_region(within)?;
            }
        }
        Ok(())
    }

    /// The parts of the volume that are not zeros everywhere, in bytes: what a trim has to look at.
    pub fn occupied(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for region in (0..self.regions.len() as u64).filter(|region| !self.is_blank(*region)) {
            let start = region * REGION_BYTES;
            match ranges.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end += REGION_BYTES,
                None => ranges.push(start..start + REGION_BYTES),
            }
        }
        ranges
    }

    /// Whether a region is all zeros, in the store and here.
    fn is_blank(&self, region: u64) -> bool {
        let stored = self.source.root().leaf(region as u32).is_some();
        !stored && self.regions[region as usize].get().is_none()
    }

    fn discard_in_region(&self, range: Range<u64>) -> io::Result<()> {
        let trimming = self.is_trimming();
        for part in parts(range.clone()) {
            if part.within.len() == BLOCK_BYTES {
                self.discard_block(part.block);
            } else if trimming {
                self.clear_written_pages(&part)?;
            } else {
                self.change(&part, || {
                    let start = part.block * BLOCK_BYTES as u64;
                    self.punch(start + part.within.start as u64..start + part.within.end as u64)
                })?;
            }
        }
        let size = BLOCK_BYTES as u64;
        let whole = range.start.next_multiple_of(size)..range.end / size * size;
        if whole.start < whole.end && !trimming {
            self.wrote(self.punch(whole))?;
        }
        Ok(())
    }

    fn discard_block(&self, block: u64) {
        let (index, at) = leaf_of(block);
        let untouched = self.regions[index as usize]
            .get()
            .is_none_or(|region| !region.dirty.get(at));
        if untouched && self.known_zero(block) {
            return;
        }
        let (region, at) = self.region(block);
        let _filling = region.filling.lock();
        region.zeroed.set(at);
        region.dirty.set(at);
        region.set_local(at, WHOLE);
    }

    fn clear_written_pages(&self, part: &Part) -> io::Result<()> {
        let (region, at) = self.region(part.block);
        if !region.dirty.get(at) || region.zeroed.get(at) {
            return Ok(());
        }
        let _filling = region.filling.lock();
        let pages = region.local(at) & part.pages() & !part.cut_pages();
        let start = part.block * BLOCK_BYTES as u64;
        for page in (0..PAGES_PER_BLOCK as u64).filter(|page| pages & 1 << page != 0) {
            let offset = start + page * PAGE_BYTES as u64;
            self.wrote(self.file.write_all_at(&[0; PAGE_BYTES], offset))?;
        }
        Ok(())
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, mode, range.start, range.end - range.start)?;
        Ok(())
    }

    /// Makes what was written durable on the local disk.
    pub fn sync(&self) -> io::Result<()> {
        self.wrote(self.file.sync_data())
    }

    /// Fetches the rest of the blocks of which only some pages were written, so that they can be
    /// saved as wholes; then says what the job did.
    pub async fn settle(&self) -> io::Result<Dirty> {
        let dirty = self.dirty();
        let partial = dirty.written.iter().filter(|block| self.is_absent(**block));
        futures_util::stream::iter(partial.map(|block| self.fetch(*block)))
            .buffer_unordered(FETCHES_PER_REQUEST)
            .try_collect::<()>()
            .await?;
        Ok(dirty)
    }

    fn dirty(&self) -> Dirty {
        let mut dirty = Dirty::default();
        for (index, region) in self.regions.iter().enumerate() {
            let Some(region) = region.get() else { continue };
            for at in (0..LEAF_BLOCKS).filter(|at| region.dirty.get(*at)) {
                let block = (index * LEAF_BLOCKS + at) as u64;
                if region.zeroed.get(at) {
                    dirty.zeroed.push(block);
                } else {
                    dirty.written.push(block);
                }
            }
        }
        dirty
    }

    /// The blocks of the store that were read, in the order of first reading.
    pub fn trace(&self) -> Vec<u64> {
        self.trace.lock().clone()
    }

    /// The first thing that went wrong, if anything did.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.lock().clone()
    }

    fn set_fault(&self, why: String, damage: bool) {
        let mut fault = self.fault.lock();
        fault.get_or_insert(Fault { why, damage });
    }

    fn store_fault(&self, error: &StoreError) -> io::Error {
        self.set_fault(error.to_string(), error.is_damage());
        io::Error::other(error.to_string())
    }

    fn wrote(&self, result: io::Result<()>) -> io::Result<()> {
        result.inspect_err(|error| self.set_fault(format!("the local disk: {error}"), false))
    }
}
