//! The blocks of a volume on this machine: a sparse local file that holds what was fetched or
//! written, and what is known of each block.
//!
//! Reading an absent block needs a fetch first (`make_local`); writing or discarding whole
//! pages of it does not. The local file is good for one session: after a crash it is thrown away.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::alarm::{Alarm, Hearing};
use crate::error::Fault;
use crate::part::{Part, Place};
use crate::region::{Region, WHOLE};
use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_model::habit::Reads;
use larder_model::limits::{BLOCK_BYTES, LEAF_BLOCKS, PAGE_BYTES, PAGES_PER_BLOCK};
use larder_model::map::leaf_of;
use larder_store::packer::Changed;
use larder_store::{FetchedBlock, Source};
use parking_lot::Mutex;
use rustix::fs::FallocateFlags;

/// Blocks of one request that are fetched at once.
const FETCHES_PER_REQUEST: usize = 8;

/// Bytes of the volume that one region covers.
const REGION_BYTES: u64 = (LEAF_BLOCKS * BLOCK_BYTES) as u64;

/// The blocks of an open volume.
#[derive(Debug)]
pub(crate) struct Blocks {
    file: File,
    source: Arc<Source>,
    regions: Vec<OnceLock<Region>>,
    trace: Mutex<Reads>,
    /// The first thing that went wrong; a volume with a fault is not published.
    fault: Mutex<Option<Fault>>,
    alarm: Alarm,
    trimming: AtomicBool,
}

impl Blocks {
    /// The blocks of `source`, kept in `file`, which must be empty; it gets the volume's size.
    pub(crate) fn new(file: File, source: Arc<Source>) -> io::Result<Self> {
        file.set_len(source.root().volume_bytes())?;
        let regions = source.root().blocks().div_ceil(LEAF_BLOCKS as u64);
        Ok(Self {
            file,
            source,
            regions: (0..regions).map(|_| OnceLock::new()).collect(),
            trace: Mutex::default(),
            fault: Mutex::default(),
            alarm: Alarm::new(),
            trimming: AtomicBool::new(false),
        })
    }

    /// Size of the volume.
    pub(crate) fn volume_bytes(&self) -> u64 {
        self.source.root().volume_bytes()
    }

    /// Where absent blocks come from.
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    fn place(&self, block: u64) -> Place<'_> {
        let (leaf, at) = leaf_of(block);
        Place {
            block,
            leaf,
            region: self.regions[leaf as usize].get_or_init(Region::default),
            at,
        }
    }

    /// A range of the volume, block by block.
    fn parts(&self, range: Range<u64>) -> impl Iterator<Item = Part<'_>> {
        let size = BLOCK_BYTES as u64;
        (range.start / size..range.end.div_ceil(size)).map(move |block| {
            let start = range.start.max(block * size) - block * size;
            let end = range.end.min((block + 1) * size) - block * size;
            Part {
                place: self.place(block),
                within: start as usize..end as usize,
            }
        })
    }

    /// Whether the store holds nothing for a block, as far as that is known without asking it.
    fn known_zero(&self, place: Place) -> bool {
        match self.source.leaf_if_read(place.leaf) {
            Some(leaf) => leaf.get(place.at).is_none(),
            None => self.source.root().leaf(place.leaf).is_none(),
        }
    }

    fn needs_fetch(&self, place: Place, pages: u16) -> bool {
        if pages & !place.region.local(place.at) == 0 {
            return false;
        }
        if self.known_zero(place) {
            // The local file has a hole there: zeros, as it should.
            place.region.set_local(place.at, WHOLE);
            return false;
        }
        true
    }

    /// Whether a range can be read without a fetch.
    pub(crate) fn is_local(&self, range: Range<u64>) -> bool {
        self.parts(range)
            .all(|part| !self.needs_fetch(part.place, part.pages()))
    }

    /// Whether a range can be written or zeroed without a fetch: it covers no absent page in part.
    pub(crate) fn is_writable(&self, range: Range<u64>) -> bool {
        self.parts(range)
            .all(|part| !self.needs_fetch(part.place, part.cut_pages()))
    }

    /// Fetches what a range lacks, for the kernel. A failure is the volume's fault, and raises the alarm.
    pub(crate) async fn make_local(&self, range: Range<u64>) -> io::Result<()> {
        // Collected first: a stream that holds the closure is `Send` for one lifetime only.
        let fetches: Vec<_> = self
            .parts(range.clone())
            .map(|part| self.fetch_absent(part.place, part.pages()))
            .collect();
        let begun = Instant::now();
        let came = all_of(fetches).await;
        tracing::debug!(?range, took = ?begun.elapsed(), "a read waited");
        let Err(fault) = came else {
            return Ok(());
        };
        let error = self.failed(fault);
        self.alarm.raise().await;
        Err(error)
    }

    /// Hears when a read of the kernel has failed.
    pub(crate) fn hear_alarm(&self) -> Hearing {
        self.alarm.hear()
    }

    /// Fetches one block, and what comes with it, unless these pages of it are local. Whether they are
    /// is looked at when the fetch begins: most neighbours come with the first one's frame.
    async fn fetch_absent(&self, place: Place<'_>, pages: u16) -> Result<(), Fault> {
        if !self.needs_fetch(place, pages) {
            return Ok(());
        }
        self.source.bring(place.block, |one| self.fill(one)).await;
        if !self.needs_fetch(place, pages) {
            return Ok(());
        }
        let fetched = self.source.fetch(place.block).await;
        let fetched = fetched.map_err(|error| Fault::of_store(&error))?;
        if fetched.is_empty() {
            place.region.set_local(place.at, WHOLE);
            return Ok(());
        }
        // Writing to the page cache may wait for the disk.
        let filled =
            tokio::task::block_in_place(|| fetched.iter().try_for_each(|one| self.fill(one)));
        filled.map_err(|error| Fault::of_disk(&error))
    }

    /// Writes what was fetched into the pages that are still absent.
    pub(crate) fn fill(&self, fetched: &FetchedBlock) -> io::Result<()> {
        let Place { region, at, .. } = self.place(fetched.block);
        if region.local(at) == WHOLE {
            return Ok(());
        }
        // Pages may have become local since the fetch began, and what the job wrote there is newer
        // than what was fetched. While the lock is held no further page becomes local, so what is
        // absent now may be written.
        let _filling = region.filling.lock();
        let local = region.local(at);
        let start = fetched.block * BLOCK_BYTES as u64;
        let mut page = 0;
        // Neighbouring pages are one write: mostly the whole block is.
        while page < PAGES_PER_BLOCK {
            let left = (PAGES_PER_BLOCK - page) as u32;
            let absent = (!local >> page).trailing_ones().min(left) as usize;
            if absent > 0 {
                let bytes = page * PAGE_BYTES..(page + absent) * PAGE_BYTES;
                let offset = start + bytes.start as u64;
                self.file.write_all_at(&fetched.content[bytes], offset)?;
            }
            page += absent.max(1);
        }
        // Only now: readers look at these bits without the lock.
        region.set_local(at, WHOLE);
        Ok(())
    }

    /// Reads a range that is local, and records its blocks as read.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        for part in self.parts(offset..offset + buffer.len() as u64) {
            self.note_need(part.place, part.pages());
        }
        self.wrote(self.file.read_exact_at(buffer, offset))
    }

    /// Records a block of which these pages were needed. What the job itself wrote, or the store has nothing of, is
    /// not recorded: it says nothing of what the next job needs. (Fetching first what a first job had read back of its
    /// own writing cost a build 107 MB.)
    fn note_need(&self, place: Place, pages: u16) {
        let Place { region, at, .. } = place;
        // What was recorded is not looked up again: most reads are of such blocks.
        if region.read.get(at) || pages & !region.own(at) == 0 || self.known_zero(place) {
            return;
        }
        if !region.read.set(at) {
            self.trace.lock().blocks.push(place.block);
        }
    }

    /// Reads a block for saving it.
    pub(crate) fn read_block(&self, block: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, block * BLOCK_BYTES as u64)
    }

    /// Writes a range that is writable.
    pub(crate) fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        for part in self.parts(offset..offset + data.len() as u64) {
            let start = part.range().start;
            let from = (start - offset) as usize;
            let data = &data[from..from + part.within.len()];
            self.change(&part, || self.file.write_all_at(data, start))?;
            part.place.region.zeroed.clear(part.place.at);
        }
        Ok(())
    }

    /// Marks a part of a block as written by the job, around the write itself.
    fn change(&self, part: &Part, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let Place { region, at, .. } = part.place;
        if part.place.is_whole() {
            // Nothing is absent, so no fetch will write to this block: it needs no lock.
            self.wrote(write())?;
        } else {
            // Else a fetch that is under way could take these pages for absent until the bits are
            // set, and put the old content over the new.
            let _filling = region.filling.lock();
            self.wrote(write())?;
            region.set_local(at, part.pages());
        }
        region.set_own(at, part.pages() & !part.cut_pages());
        region.note_change(at);
        Ok(())
    }

    /// Whether discards are those of free space only, whose content nobody reads again.
    pub(crate) fn set_trimming(&self, trimming: bool) {
        self.trimming.store(trimming, Ordering::Release);
    }

    /// Whether it is being trimmed.
    pub(crate) fn is_trimming(&self) -> bool {
        self.trimming.load(Ordering::Acquire)
    }

    /// Fetches the blocks at the two ends of a range, where it may cover a page in part.
    pub(crate) async fn make_edges_local(&self, range: Range<u64>) -> io::Result<()> {
        self.make_local(range.start..range.start + 1).await?;
        self.make_local(range.end - 1..range.end).await
    }

    /// Makes a range zero and gives its space back. The range must be writable, unless the volume
    /// is being trimmed. A trim names free space, which nobody reads again, just before the local
    /// file is thrown away: so it gives no space back (punching a hole waits for the disk, some
    /// milliseconds each), and it leaves blocks that it cuts as they are: their free pages are cleared
    /// later, if they are stored at all ([`Blocks::clear_pages`]).
    pub(crate) fn discard(&self, range: Range<u64>) -> io::Result<()> {
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

    /// The parts of the volume that are not zeros everywhere, in bytes: what a trim looks at where nobody knows better.
    pub(crate) fn occupied(&self) -> Vec<Range<u64>> {
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
        for part in self.parts(range.clone()) {
            if part.within.len() == BLOCK_BYTES {
                self.discard_block(part.place);
            } else if !trimming {
                self.change(&part, || self.punch(part.range()))?;
            }
        }
        // One hole for all whole blocks: each call waits for the disk. That they are local by now and
        // not yet zero in the file harms nobody: the request is not answered yet.
        let size = BLOCK_BYTES as u64;
        let whole = range.start.next_multiple_of(size)..range.end / size * size;
        if whole.start < whole.end && !trimming {
            self.wrote(self.punch(whole))?;
        }
        Ok(())
    }

    fn discard_block(&self, place: Place) {
        let Place { region, at, .. } = place;
        if !region.dirty.get(at) && self.known_zero(place) {
            // It is zero here and in the store; a save need not look at it.
            return;
        }
        // A fetch that is under way must not fill the block after it was declared zero.
        let _filling = region.filling.lock();
        region.zeroed.set(at);
        region.set_own(at, WHOLE);
        region.note_change(at);
        region.set_local(at, WHOLE);
    }

    /// The blocks that are to be stored.
    pub(crate) fn written(&self) -> Vec<u64> {
        let Changed { written, early, .. } = self.changed();
        [written, early].concat()
    }

    /// Reads a range for us alone; whether all of it is here.
    pub(crate) fn read_if_local(&self, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
        let is_here = self.is_local(offset..offset + buffer.len() as u64);
        if is_here {
            self.wrote(self.file.read_exact_at(buffer, offset))?;
        }
        Ok(is_here)
    }

    /// Makes pages of a block zero that nobody uses, whatever the store has in them.
    pub(crate) fn clear_pages(&self, block: u64, pages: u16) -> io::Result<()> {
        let place = self.place(block);
        let Place { region, at, .. } = place;
        if pages == WHOLE {
            self.discard_block(place);
            return Ok(());
        }
        let _filling = region.filling.lock();
        let here = pages & region.local(at);
        let mut content = [0; PAGE_BYTES];
        for page in (0..PAGES_PER_BLOCK as u64).filter(|page| here & 1 << page != 0) {
            let offset = place.offset() + page * PAGE_BYTES as u64;
            self.wrote(self.file.read_exact_at(&mut content, offset))?;
            // What is stored already, and is zero there, need not be stored again.
            if content.iter().any(|byte| *byte != 0) {
                self.wrote(self.file.write_all_at(&[0; PAGE_BYTES], offset))?;
                region.note_change(at);
            }
        }
        // Where a page is absent the local file has a hole.
        region.set_local(at, pages);
        region.set_own(at, pages);
        Ok(())
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, mode, range.start, range.end - range.start)?;
        Ok(())
    }

    /// Writes what is in the local file to the disk, which may have no room for it or be broken.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.wrote(self.file.sync_data())
    }

    /// Fetches the rest of the blocks of which only some pages were written, so that they can be
    /// saved as wholes; then says what the job did.
    pub(crate) async fn settle(&self) -> io::Result<Changed> {
        let changed = self.changed();
        for block in changed.written.iter().chain(&changed.early) {
            self.note_need(self.place(*block), WHOLE);
        }
        let written = changed.written.iter();
        let fetches = written.map(|block| self.fetch_absent(self.place(*block), WHOLE));
        all_of(fetches).await.map_err(|fault| self.failed(fault))?;
        Ok(changed)
    }

    fn changed(&self) -> Changed {
        let mut changed = Changed::default();
        for (first, region) in self.touched() {
            for at in (0..LEAF_BLOCKS).filter(|at| region.dirty.get(*at)) {
                let list = if region.zeroed.get(at) {
                    &mut changed.zeroed
                } else if region.early.get(at) {
                    &mut changed.early
                } else {
                    &mut changed.written
                };
                list.push(first + at as u64);
            }
        }
        changed
    }

    /// The regions that something is known of, each with its first block.
    fn touched(&self) -> impl Iterator<Item = (u64, &Region)> {
        let regions = self.regions.iter().zip(0..);
        regions.filter_map(|(region, index)| Some((index * LEAF_BLOCKS as u64, region.get()?)))
    }

    /// Blocks that the job wrote and has left alone since this was last asked, ascending.
    pub(crate) fn quiet(&self) -> Vec<u64> {
        let regions = self.touched();
        let blocks =
            regions.flat_map(|(first, region)| region.quiet().map(move |at| first + at as u64));
        blocks.collect()
    }

    /// These blocks are stored from here on, until they are written again.
    pub(crate) fn begin_early(&self, blocks: &[u64]) {
        for block in blocks {
            let place = self.place(*block);
            place.region.early.set(place.at);
        }
    }

    /// What was begun came to nothing.
    pub(crate) fn give_up_early(&self, blocks: &[u64]) {
        for block in blocks {
            let place = self.place(*block);
            place.region.early.clear(place.at);
        }
    }

    /// The engine answers now: what was read so far is what every start reads.
    pub(crate) fn note_start(&self) {
        let mut trace = self.trace.lock();
        trace.at_start = trace.blocks.len();
    }

    /// How many of the store's blocks were read.
    pub(crate) fn blocks_read(&self) -> usize {
        self.trace.lock().blocks.len()
    }

    /// The blocks of the store that were read, in the order of first reading.
    pub(crate) fn trace(&self) -> Reads {
        self.trace.lock().clone()
    }

    /// The first thing that went wrong, if anything did.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.lock().clone()
    }

    /// The first fault is the one that is told.
    fn failed(&self, fault: Fault) -> io::Error {
        let error = io::Error::other(fault.why.clone());
        self.fault.lock().get_or_insert(fault);
        error
    }

    fn wrote(&self, result: io::Result<()>) -> io::Result<()> {
        result.inspect_err(|error| drop(self.failed(Fault::of_disk(error))))
    }
}

/// Some at once, up to the first that fails.
async fn all_of(
    fetches: impl IntoIterator<Item: Future<Output = Result<(), Fault>>>,
) -> Result<(), Fault> {
    let fetches = futures_util::stream::iter(fetches).buffer_unordered(FETCHES_PER_REQUEST);
    fetches.try_collect().await
}
