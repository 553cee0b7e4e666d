//! Recipe parts: how one stretch of a blob is rebuilt from chunks.
//!
//! # Data format
//!
//! ```text
//! "LARDERRP"  version u16 = 1  0 u16                                                      12 bytes
//! packs u32  frames u32  meta chunks u32  content chunks u32  runs u32                    20 bytes
//! per pack:   id [32]
//! per frame:  pack u32  offset u32  stored bytes u32  content bytes u32
//! per chunk:  id [32]                 all of meta, then all of content; and in the same order
//! per chunk:  frame u32               place in the table of frames
//! per chunk:  offset u32              in the frame's content
//! per chunk:  bytes u32
//! per run:    bytes, as LEB128        meta and content in turn, meta first (perhaps 0)
//! ```
//!
//! All numbers are little-endian. Packs and frames stand in the order in which they are first named,
//! so that equal content has equal bytes. The stretch is rebuilt by taking the bytes of each run from
//! its stream, which is its chunks, one after the other.
//!
//! A part is stored compressed (zstd, with its content size in the frame header); its [`PartId`] is
//! the BLAKE3 digest of the stored bytes. All new parts of one save are back to back in one object
//! (or several), at `recipes/<first two digits>/<id>`.
//!
//! [`PartId`]: crate::digest::PartId

use std::collections::HashMap;

use bytes::Bytes;

use super::runs::{Runs, Stretches};
use super::split::Stream;
use crate::digest::{ChunkId, PackId};
use crate::frame::ChunkFrame;
use crate::limits::{CHUNK_MAX_BYTES, PART_BLOB_BYTES, PART_MAX_BYTES, PART_RUNS_MAX};
use crate::wire::{FormatError, Reader, write_header};

const MAGIC: &[u8; 8] = b"LARDERRP";
const VERSION: u16 = 1;
const OBJECT: &str = "recipe part";

/// A chunk, and where it is: a stretch of a frame's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The digest of its content.
    pub id: ChunkId,
    /// The number of its frame: in [`Part::frames`], or among all frames of a save in a [`Draft`].
    pub frame: u32,
    /// Where in the frame's content it begins.
    pub offset: u32,
    /// How many bytes it has.
    pub bytes: u32,
}

/// A part whose frames may not be stored yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// How the streams interleave.
    pub runs: Runs,
    /// The chunks of each stream, in order.
    pub chunks: [Vec<Chunk>; 2],
}

impl Draft {
    /// The part, once every frame has its place.
    pub fn place(self, mut frame_of: impl FnMut(u32) -> ChunkFrame) -> Part {
        let mut frames = Vec::new();
        let mut places = HashMap::new();
        let mut chunks = self.chunks;
        for chunk in chunks.iter_mut().flatten() {
            chunk.frame = *places.entry(chunk.frame).or_insert_with(|| {
                frames.push(frame_of(chunk.frame));
                frames.len() as u32 - 1
            });
        }
        Part {
            runs: self.runs,
            frames,
            chunks,
        }
    }
}

/// How one stretch of a blob is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    runs: Runs,
    frames: Vec<ChunkFrame>,
    chunks: [Vec<Chunk>; 2],
}

impl Part {
    /// How many bytes of the blob it rebuilds.
    pub fn blob_bytes(&self) -> u64 {
        self.runs.total()
    }

    /// The frames that hold its chunks.
    pub fn frames(&self) -> &[ChunkFrame] {
        &self.frames
    }

    /// All its chunks: those of meta, then those of content.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().flatten()
    }

    /// The chunks in the order in which [`Weaver`] asks for them.
    pub fn order(&self) -> Vec<Chunk> {
        let mut order = Vec::new();
        let mut rest = self.chunks.each_ref().map(|chunks| chunks.iter());
        let mut held = [0_u64; 2];
        for (stream, mut left) in self.runs.clone() {
            let held = &mut held[stream as usize];
            while left > 0 {
                if *held == 0 {
                    let Some(chunk) = rest[stream as usize].next() else {
                        break;
                    };
                    order.push(*chunk);
                    *held = u64::from(chunk.bytes);
                }
                let taken = left.min(*held);
                left -= taken;
                *held -= taken;
            }
        }
        order
    }

    /// What puts the stretch together.
    pub fn weaver(&self) -> Weaver {
        Weaver {
            stretches: self.runs.clone().into_iter(),
            stream: Stream::Meta,
            left: 0,
            held: Default::default(),
        }
    }

    /// The part's bytes, before they are compressed.
    pub fn encode(&self) -> Vec<u8> {
        let mut packs: Vec<PackId> = Vec::new();
        let mut pack_places = HashMap::new();
        let mut frames = Vec::new();
        for frame in &self.frames {
            let pack = *pack_places.entry(frame.pack).or_insert_with(|| {
                packs.push(frame.pack);
                packs.len() as u32 - 1
            });
            for number in [pack, frame.offset, frame.stored_bytes, frame.content_bytes] {
                frames.extend_from_slice(&number.to_le_bytes());
            }
        }
        let mut out = Vec::new();
        write_header(&mut out, MAGIC, VERSION);
        let [meta, content] = &self.chunks;
        for count in [packs.len(), self.frames.len(), meta.len(), content.len()] {
            out.extend_from_slice(&(count as u32).to_le_bytes());
        }
        out.extend_from_slice(&self.runs.count().to_le_bytes());
        for pack in &packs {
            out.extend_from_slice(pack.as_bytes());
        }
        out.extend_from_slice(&frames);
        for chunk in self.chunks() {
            out.extend_from_slice(chunk.id.as_bytes());
        }
        let fields: [fn(&Chunk) -> u32; 3] = [|it| it.frame, |it| it.offset, |it| it.bytes];
        for field in fields {
            for chunk in self.chunks() {
                out.extend_from_slice(&field(chunk).to_le_bytes());
            }
        }
        self.runs.encode(&mut out);
        out
    }

    /// Reads the bytes that [`Part::encode`] wrote, and checks that they fit together.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > PART_MAX_BYTES {
            let what = format!("it has {} bytes", bytes.len());
            return Err(FormatError::invalid(OBJECT, what));
        }
        let mut from = Reader::new(OBJECT, bytes);
        from.header(MAGIC, VERSION)?;
        let [packs, frames, meta, content] =
            ["packs", "frames", "meta chunks", "content chunks"].map(|field| from.u32(field));
        let (meta, content) = (meta? as usize, content? as usize);
        let runs = from.u32("runs")?;
        if runs > PART_RUNS_MAX {
            return Err(from.invalid(format!("{runs} runs")));
        }
        let packs = read_ids(&mut from, "pack id", packs? as usize)?;
        let frames = read_frames(&mut from, &packs, frames? as usize)?;
        let mut chunks = read_chunks(&mut from, &frames, meta + content)?;
        let runs = Runs::decode(&mut from, runs, PART_BLOB_BYTES)?;
        if runs.total() == 0 {
            return Err(from.invalid("it rebuilds nothing"));
        }
        from.end()?;
        let content = chunks.split_off(meta);
        let part = Self {
            runs,
            frames,
            chunks: [chunks, content],
        };
        for stream in Stream::BOTH {
            let chunks = part.chunks[stream as usize].iter();
            let held: u64 = chunks.map(|chunk| u64::from(chunk.bytes)).sum();
            let needed = part.runs.bytes(stream);
            if held != needed {
                let what =
                    format!("its runs take {needed} bytes of {stream:?}, its chunks have {held}");
                return Err(FormatError::invalid(OBJECT, what));
            }
        }
        Ok(part)
    }
}

fn read_ids(
    from: &mut Reader<'_>,
    field: &'static str,
    count: usize,
) -> Result<Vec<[u8; 32]>, FormatError> {
    let bytes = from.take(field, count * 32)?;
    Ok(bytes.as_chunks().0.to_vec())
}

fn read_numbers<'a>(
    from: &mut Reader<'a>,
    field: &'static str,
    count: usize,
) -> Result<impl Iterator<Item = u32> + use<'a>, FormatError> {
    let bytes = from.take(field, count * 4)?;
    Ok(bytes
        .as_chunks()
        .0
        .iter()
        .map(|number| u32::from_le_bytes(*number)))
}

fn read_frames(
    from: &mut Reader<'_>,
    packs: &[[u8; 32]],
    count: usize,
) -> Result<Vec<ChunkFrame>, FormatError> {
    let mut frames = Vec::new();
    for _ in 0..count {
        let pack = from.u32("a frame's pack")?;
        let Some(pack) = packs.get(pack as usize) else {
            return Err(from.invalid(format!("a frame in pack {pack} of {}", packs.len())));
        };
        let frame = ChunkFrame {
            pack: PackId::from_bytes(*pack),
            offset: from.u32("a frame's offset")?,
            stored_bytes: from.u32("a frame's stored bytes")?,
            content_bytes: from.u32("a frame's content bytes")?,
        };
        if let Some(fault) = frame.fault() {
            return Err(from.invalid(fault));
        }
        frames.push(frame);
    }
    Ok(frames)
}

fn read_chunks(
    from: &mut Reader<'_>,
    frames: &[ChunkFrame],
    count: usize,
) -> Result<Vec<Chunk>, FormatError> {
    let ids = read_ids(from, "chunk id", count)?;
    let in_frames = read_numbers(from, "a chunk's frame", count)?;
    let offsets = read_numbers(from, "a chunk's offset", count)?;
    let lengths = read_numbers(from, "a chunk's bytes", count)?;
    let numbers = in_frames.zip(offsets).zip(lengths);
    let chunks = ids.into_iter().zip(numbers);
    let read = |(id, ((frame, offset), bytes)): (_, ((u32, u32), u32))| {
        let holds = frames.get(frame as usize).map(|frame| frame.content_bytes);
        let end = u64::from(offset) + u64::from(bytes);
        let whole = bytes > 0 && bytes as usize <= CHUNK_MAX_BYTES;
        if !whole || holds.is_none_or(|holds| end > u64::from(holds)) {
            let what = format!("a chunk of {bytes} bytes at {offset} in frame {frame}");
            return Err(FormatError::invalid(OBJECT, what));
        }
        Ok(Chunk {
            id: ChunkId::from_bytes(id),
            frame,
            offset,
            bytes,
        })
    };
    chunks.map(read).collect()
}

/// Puts a stretch of a blob together from its chunks.
///
/// ```
/// # use larder_model::archive::{Part, Weaver};
/// # fn rebuild(part: &Part, chunk_content: impl Fn(&larder_model::archive::Chunk) -> bytes::Bytes) -> Vec<u8> {
/// let mut out = Vec::new();
/// let mut order = part.order().into_iter();
/// let mut weaver = part.weaver();
/// while let Some(stream) = weaver.weave(|bytes| out.extend_from_slice(bytes)) {
///     let chunk = order.next().expect("as many as are asked for");
///     weaver.give(stream, chunk_content(&chunk));
/// }
/// # out
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Weaver {
    stretches: Stretches,
    stream: Stream,
    left: u64,
    held: [Bytes; 2],
}

impl Weaver {
    /// Emits all bytes that can be, and says of which stream the next chunk is needed; `None` at the
    /// end.
    pub fn weave(&mut self, mut emit: impl FnMut(&[u8])) -> Option<Stream> {
        loop {
            if self.left == 0 {
                (self.stream, self.left) = self.stretches.next()?;
                continue;
            }
            let held = &mut self.held[self.stream as usize];
            if held.is_empty() {
                return Some(self.stream);
            }
            let len = usize::try_from(self.left).map_or(held.len(), |left| left.min(held.len()));
            emit(&held.split_to(len));
            self.left -= len as u64;
        }
    }

    /// The next chunk of a stream, asked for by [`Weaver::weave`].
    pub fn give(&mut self, stream: Stream, chunk: Bytes) {
        self.held[stream as usize] = chunk;
    }
}
