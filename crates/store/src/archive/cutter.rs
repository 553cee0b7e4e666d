//! From a blob's bytes to new frames and a draft of its recipe: split, cut, hash, look up.
//!
//! This is the one part of a save that goes byte by byte in order, so it does nothing else: bytes
//! are copied once, into the frame that they will be in if they are new.

use bytes::Bytes;
use larder_model::archive::chunk::Chunker;
use larder_model::archive::split::{Splitter, Stream};
use larder_model::archive::{Chunk, Draft};
use larder_model::digest::ChunkId;
use larder_model::limits::{CHUNK_MAX_BYTES, FRAME_CONTENT_BYTES, PART_BLOB_BYTES, PART_RUNS_MAX};

use super::buffers::Buffers;
use super::known::{Known, Resting};

/// Most chunks of a frame: the index of a pack counts them in a byte.
const FRAME_CHUNKS: usize = 255;

/// New chunks that are compressed together.
#[derive(Debug)]
pub(super) struct NewFrame {
    pub number: u32,
    pub stream: Stream,
    /// What the chunks hold; compressed, from [`super::packing`] on.
    pub content: Vec<u8>,
    pub chunks: Vec<(ChunkId, u32)>,
}

/// What the cutter has made so far and somebody must take.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub frames: Vec<NewFrame>,
    pub drafts: Vec<Draft>,
}

/// Cuts blobs, one after the other.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    known: Known,
    buffers: Buffers,
    next_frame: u32,
    splitter: Splitter,
    lanes: [Lane; 2],
    draft: Draft,
    cut: Cut,
    pub new_chunks: u64,
    pub new_bytes: u64,
}

/// One of the two streams on its way into chunks and frames.
#[derive(Debug, Default)]
struct Lane {
    stream: Stream,
    chunker: Chunker,
    /// Whole new chunks, and behind them the bytes of the one that is open.
    content: Vec<u8>,
    /// Where in `content` the open chunk begins.
    open_at: usize,
    chunks: Vec<(ChunkId, u32)>,
    /// The frame's number, from its first chunk on.
    number: Option<u32>,
}

impl Lane {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            ..Self::default()
        }
    }

    /// Whether another chunk might not fit.
    fn is_full(&self) -> bool {
        self.open_at + CHUNK_MAX_BYTES > FRAME_CONTENT_BYTES || self.chunks.len() == FRAME_CHUNKS
    }

    fn take_frame(&mut self) -> Option<NewFrame> {
        let number = self.number.take()?;
        debug_assert_eq!(self.open_at, self.content.len(), "no chunk is open");
        self.open_at = 0;
        Some(NewFrame {
            number,
            stream: self.stream,
            content: std::mem::take(&mut self.content),
            chunks: std::mem::take(&mut self.chunks),
        })
    }
}

impl Cutter {
    /// A cutter that leaves out what is known, and numbers frames from `next_frame` on.
    pub(super) fn new(known: Known, buffers: Buffers, next_frame: u32) -> Self {
        Self {
            known,
            buffers,
            next_frame,
            lanes: Stream::BOTH.map(Lane::new),
            ..Self::default()
        }
    }

    /// The next bytes of the blob.
    pub(super) fn feed(&mut self, pieces: &[Bytes]) -> Cut {
        let mut splitter = std::mem::take(&mut self.splitter);
        for piece in pieces {
            splitter.feed(piece, |stream, bytes| self.push(stream, bytes));
        }
        self.splitter = splitter;
        std::mem::take(&mut self.cut)
    }

    /// The blob ends. Frames stay open for the next one.
    pub(super) fn end_blob(&mut self) -> Cut {
        std::mem::take(&mut self.splitter).finish(|stream, bytes| self.push(stream, bytes));
        self.end_part();
        std::mem::take(&mut self.cut)
    }

    /// All blobs were given.
    pub(super) fn end(&mut self) -> Cut {
        let frames = self.lanes.iter_mut().filter_map(Lane::take_frame);
        self.cut.frames.extend(frames);
        std::mem::take(&mut self.cut)
    }

    fn push(&mut self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = PART_BLOB_BYTES - self.draft.runs.total();
            let len = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
            let (now, later) = bytes.split_at(len);
            self.draft.runs.push(stream, len);
            self.push_stream(stream, now);
            if len as u64 == room || self.draft.runs.count() == PART_RUNS_MAX {
                self.end_part();
            }
            bytes = later;
        }
    }

    fn push_stream(&mut self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let lane = &mut self.lanes[stream as usize];
            let end = lane.chunker.find_end(bytes);
            if lane.content.capacity() == 0 {
                lane.content = self.buffers.take();
            }
            let (now, later) = bytes.split_at(end.unwrap_or(bytes.len()));
            lane.content.extend_from_slice(now);
            if end.is_some() {
                self.end_chunk(stream);
            }
            bytes = later;
        }
    }

    /// The open chunk of a stream ends here: it is known and dropped, or stays in the frame.
    fn end_chunk(&mut self, stream: Stream) {
        let lane = &mut self.lanes[stream as usize];
        let content = &lane.content[lane.open_at..];
        if content.is_empty() {
            return;
        }
        let id = ChunkId::of(content);
        let bytes = content.len() as u32;
        let resting = if let Some(resting) = self.known.get(id) {
            lane.content.truncate(lane.open_at);
            resting
        } else {
            let frame = *lane.number.get_or_insert_with(|| {
                self.next_frame += 1;
                self.next_frame - 1
            });
            let offset = lane.open_at as u32;
            lane.chunks.push((id, bytes));
            lane.open_at = lane.content.len();
            self.new_chunks += 1;
            self.new_bytes += u64::from(bytes);
            self.known.insert(id, Resting { frame, offset });
            Resting { frame, offset }
        };
        self.draft.chunks[stream as usize].push(Chunk {
            id,
            frame: resting.frame,
            offset: resting.offset,
            bytes,
        });
        if lane.is_full() {
            self.cut.frames.extend(lane.take_frame());
        }
    }

    /// A part of the recipe ends, and with it the chunks of both streams.
    fn end_part(&mut self) {
        for stream in Stream::BOTH {
            self.end_chunk(stream);
            self.lanes[stream as usize].chunker = Chunker::default();
        }
        let draft = std::mem::take(&mut self.draft);
        if draft.runs.total() > 0 {
            self.cut.drafts.push(draft);
        }
    }
}
