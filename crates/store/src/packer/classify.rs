//! Looking at dirty blocks on every core: which are zero, which the store has already, which are
//! new; the new ones leave as compressed frames.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use larder_model::digest::BlockId;
use larder_model::frame::BlockRef;
use larder_model::limits::{BLOCK_BYTES, FRAME_FILL_BLOCKS};
use larder_model::map::leaf_of;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::compact::Moving;
use super::known::Contents;
use super::{Changed, PackProgress, Touched, ZERO_BLOCK};
use crate::codec::Pool;
use crate::source::Source;
use larder_objects::StoreError;

/// Dirty blocks that a worker takes at a time: whole frames, and enough of them that the workers
/// seldom meet.
const RUN_BLOCKS: usize = 8 * FRAME_FILL_BLOCKS;
/// Frames between the workers and the pack: bounds memory to a few MiB.
const FRAMES_QUEUED: usize = 16;

/// The nicest that a thread can be.
const LOWEST_PRIORITY: i32 = 19;

/// What became of changed blocks. A block that did not change leaves no trace.
pub(super) enum Outcome {
    /// It is zero now.
    Zero(u64),
    /// The parent has its content, here.
    Known(u64, BlockRef),
    /// Another dirty block of this job has the same content.
    Twin(u64, BlockId),
    /// New blocks, compressed together.
    Frame {
        blocks: Vec<(u64, BlockId)>,
        stored: Vec<u8>,
    },
}

pub(super) struct Classifier<R> {
    pub changed: Changed,
    pub touched: Arc<Touched>,
    pub known: Contents,
    /// Whether what was written is stored even where the parent has just that.
    pub stores_again: bool,
    pub moving: Arc<Moving>,
    pub source: Arc<Source>,
    pub runtime: Handle,
    pub read: R,
    pub workers: Workers,
    pub progress: Arc<PackProgress>,
    /// Where in `changed.written` the next worker goes on.
    pub next: AtomicUsize,
    /// New contents that a worker has taken for its frame.
    pub claimed: Mutex<HashSet<BlockId>>,
}

/// Who works on a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workers {
    /// Every core: somebody waits.
    All,
    /// One thread that takes what the job leaves of the processor.
    Idle,
}

impl Workers {
    /// How many threads they are.
    pub(super) fn count(self) -> usize {
        match self {
            Self::All => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            Self::Idle => 1,
        }
    }

    /// The first thing that each of these threads does.
    pub(super) fn begin(self) {
        if self == Self::Idle {
            // On Linux this is the calling thread alone (setpriority(2), "C library/kernel differences").
            let lowered = rustix::process::setpriority_process(None, LOWEST_PRIORITY);
            tracing::debug!(?lowered, "priority");
        }
    }
}

type Sender = SyncSender<Result<Outcome, StoreError>>;

impl<R: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync> Classifier<R> {
    /// Runs the workers; `take` gets every outcome on this thread, in no particular order, until it
    /// fails.
    pub(crate) fn run(
        &self,
        mut take: impl FnMut(Outcome) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for block in &self.changed.zeroed {
            if self.before(*block).is_some() {
                take(Outcome::Zero(*block))?;
            }
        }
        std::thread::scope(|scope| {
            let (sender, outcomes) = sync_channel(FRAMES_QUEUED);
            for _ in 0..self.workers.count() {
                let sender = sender.clone();
                scope.spawn(move || self.work(&sender));
            }
            drop(sender);
            // Leaving early drops the receiver; the workers then fail to send, and stop.
            outcomes.into_iter().try_for_each(|outcome| take(outcome?))
        })
    }

    fn work(&self, sender: &Sender) {
        self.workers.begin();
        let mut frame = OpenFrame::new();
        loop {
            let start = self.next.fetch_add(RUN_BLOCKS, Ordering::Relaxed);
            let rest = self.changed.written.get(start..).unwrap_or_default();
            let run = &rest[..rest.len().min(RUN_BLOCKS)];
            if run.is_empty() || self.work_run(run, &mut frame, sender).is_none() {
                return;
            }
            self.progress
                .done
                .fetch_add(run.len() as u64, Ordering::Relaxed);
        }
    }

    /// `None` once nobody listens any more, or after a fault was sent.
    fn work_run(&self, run: &[u64], frame: &mut OpenFrame, sender: &Sender) -> Option<()> {
        let mut content = vec![0; BLOCK_BYTES];
        for block in run {
            match self.content(*block, &mut content) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    let fault = StoreError::Volume(format!("block {block}: {error}"));
                    sender.send(Err(fault)).ok()?;
                    return None;
                }
            }
            match self.classify(*block, &content) {
                Verdict::Unchanged => {}
                Verdict::New(id) => {
                    if frame.ends_before(*block) {
                        sender.send(Ok(frame.close())).ok()?;
                    }
                    frame.push(*block, id, &content);
                }
                Verdict::Settled(outcome) => sender.send(Ok(outcome)).ok()?,
            }
        }
        if !frame.blocks.is_empty() {
            sender.send(Ok(frame.close())).ok()?;
        }
        Some(())
    }

    /// What a block holds; false if it stays where it is, because that cannot be told.
    fn content(&self, block: u64, buffer: &mut [u8]) -> io::Result<bool> {
        if self.moving.holds(block) {
            return Ok(self.moving.read(&self.source, &self.runtime, block, buffer));
        }
        (self.read)(block, buffer).map(|()| true)
    }

    /// What the parent has in this place.
    fn before(&self, block: u64) -> Option<BlockRef> {
        let (leaf, at) = leaf_of(block);
        self.touched.get(&leaf)?.as_ref()?.get(at)
    }

    fn classify(&self, block: u64, content: &[u8]) -> Verdict {
        let before = self.before(block);
        if content == ZERO_BLOCK {
            return match before {
                None => Verdict::Unchanged,
                Some(_) => Verdict::Settled(Outcome::Zero(block)),
            };
        }
        let id = BlockId::of(content);
        if !self.stores_again && before.is_some_and(|before| before.id == id) {
            return Verdict::Unchanged;
        }
        if let Some(rests) = self.known.get(&id) {
            return Verdict::Settled(Outcome::Known(block, rests));
        }
        if self.claimed.lock().insert(id) {
            Verdict::New(id)
        } else {
            Verdict::Settled(Outcome::Twin(block, id))
        }
    }
}

enum Verdict {
    Unchanged,
    New(BlockId),
    Settled(Outcome),
}

/// The frame that a worker is filling.
struct OpenFrame {
    blocks: Vec<(u64, BlockId)>,
    content: Vec<u8>,
    compressor: Arc<Pool>,
}

impl OpenFrame {
    fn new() -> Self {
        Self {
            blocks: Vec::new(),
            content: Vec::with_capacity(FRAME_FILL_BLOCKS * BLOCK_BYTES),
            compressor: Pool::fast(),
        }
    }

    /// Whether `block` belongs to the next frame: this one is full, or covers another leaf, whose
    /// readers would fetch blocks they cannot use.
    fn ends_before(&self, block: u64) -> bool {
        let first = self.blocks.first().map(|(first, _)| leaf_of(*first).0);
        self.blocks.len() == FRAME_FILL_BLOCKS || first.is_some_and(|leaf| leaf != leaf_of(block).0)
    }

    fn push(&mut self, block: u64, id: BlockId, content: &[u8]) {
        self.blocks.push((block, id));
        self.content.extend_from_slice(content);
    }

    fn close(&mut self) -> Outcome {
        let stored = self.compressor.compress(&self.content);
        self.content.clear();
        Outcome::Frame {
            blocks: std::mem::take(&mut self.blocks),
            stored,
        }
    }
}
