//! Packs: the immutable objects that hold frames.
//!
//! # Data format
//!
//! ```text
//! "LARDERPK"  version u16 = 1  0 u16          12 bytes
//! frames, back to back
//! index, per frame:  offset u32  stored bytes u32  blocks u8  digest of each block [32]
//! trailer:  frames u32  index offset u32  index bytes u32  "LARDERPK"      20 bytes
//! ```
//!
//! A pack of chunks has version 2, and another index; all else is the same:
//!
//! ```text
//! index, per frame:  offset u32  stored bytes u32  content bytes u32  chunks u8,
//!     then per chunk:  id [32]  bytes u32
//! ```
//!
//! All numbers are little-endian. A pack is stored at `packs/<first two digits>/<id>`, where the id
//! is the BLAKE3 digest of all its bytes. Readers find frames through a map or a recipe and never
//! need the index; it is there so that a pack explains itself to verification and repair.

use std::marker::PhantomData;

use crate::digest::{BlockId, ChunkId, PackId};
use crate::format::frame::{ChunkSlot, FrameSlot, Slot};
use crate::format::limits::{BLOCK_BYTES, PACK_MAX_BYTES};
use crate::format::wire::{FormatError, Reader, write_header};

const MAGIC: [u8; 8] = *b"LARDERPK";
const VERSION: u16 = 1;
/// Version of a pack of chunks.
const CHUNKS_VERSION: u16 = 2;
const HEADER_BYTES: usize = 12;
const TRAILER_BYTES: usize = 20;
const OBJECT: &str = "pack";

/// Fills one pack, frame by frame: with blocks, or with chunks.
#[derive(Debug)]
pub struct PackBuilder<Id> {
    bytes: Vec<u8>,
    index: Vec<u8>,
    frames: u32,
    holds: PhantomData<Id>,
}

impl<Id> PackBuilder<Id> {
    fn new(version: u16) -> Self {
        // Untouched memory costs nothing; growing by doubling would cost half as much again.
        let mut bytes = Vec::with_capacity(PACK_MAX_BYTES);
        write_header(&mut bytes, MAGIC, version);
        Self {
            bytes,
            index: Vec::new(),
            frames: 0,
            holds: PhantomData,
        }
    }

    /// Adds a frame and begins its entry in the index; gives its place.
    fn begin<Held>(&mut self, stored: &[u8], holds: Held) -> Slot<Held> {
        let offset = u32::try_from(self.bytes.len()).expect("a pack is closed long before 4 GiB");
        let len = u32::try_from(stored.len()).expect("a frame is about 1 MiB at most");
        self.bytes.extend_from_slice(stored);
        self.index.extend_from_slice(&offset.to_le_bytes());
        self.index.extend_from_slice(&len.to_le_bytes());
        self.frames += 1;
        Slot {
            offset,
            stored_bytes: len,
            holds,
        }
    }

    /// Whether no frame was added yet.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Closes the pack: its id and its bytes.
    pub fn finish(mut self) -> (PackId, Vec<u8>) {
        let index_offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&self.index);
        for number in [self.frames, index_offset, self.index.len() as u32] {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.bytes.extend_from_slice(&MAGIC);
        (PackId::of(&self.bytes), self.bytes)
    }
}

impl Default for PackBuilder<BlockId> {
    fn default() -> Self {
        Self::new(VERSION)
    }
}

impl PackBuilder<BlockId> {
    /// Adds a compressed frame that holds `blocks`, in order.
    pub fn push(&mut self, stored: &[u8], blocks: &[BlockId]) -> FrameSlot {
        let count = u8::try_from(blocks.len()).expect("a frame has at most 16 blocks");
        let slot = self.begin(stored, count);
        self.index.push(count);
        for id in blocks {
            self.index.extend_from_slice(id.as_bytes());
        }
        slot
    }

    /// Bytes so far, without index and trailer.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Default for PackBuilder<ChunkId> {
    fn default() -> Self {
        Self::new(CHUNKS_VERSION)
    }
}

impl PackBuilder<ChunkId> {
    /// Adds a compressed frame that holds chunks of these ids and lengths, in order.
    pub fn push(&mut self, stored: &[u8], chunks: &[(ChunkId, u32)]) -> ChunkSlot {
        let content_bytes = chunks.iter().map(|(_, bytes)| bytes).sum::<u32>();
        let slot = self.begin(stored, content_bytes);
        self.index.extend_from_slice(&content_bytes.to_le_bytes());
        let count = u8::try_from(chunks.len()).expect("a writer closes a frame at 255 chunks");
        self.index.push(count);
        for (id, bytes) in chunks {
            self.index.extend_from_slice(id.as_bytes());
            self.index.extend_from_slice(&bytes.to_le_bytes());
        }
        slot
    }

    /// Bytes so far, index included: what compresses very well fills the index first.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.index.len()
    }
}

/// A frame as its pack's own index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedFrame {
    /// Where in the pack it begins.
    pub offset: u32,
    /// How many bytes it has there.
    pub stored_bytes: u32,
    /// Digest and length of each block or chunk that it holds, in order.
    pub pieces: Vec<([u8; 32], u32)>,
}

impl IndexedFrame {
    /// Bytes of its content.
    pub fn content_bytes(&self) -> usize {
        self.pieces.iter().map(|(_, bytes)| *bytes as usize).sum()
    }
}

/// Reads the index of a whole pack, of blocks or of chunks.
pub fn read_index(bytes: &[u8]) -> Result<Vec<IndexedFrame>, FormatError> {
    let of_chunks = bytes.get(8..10) == Some(&CHUNKS_VERSION.to_le_bytes());
    let version = if of_chunks { CHUNKS_VERSION } else { VERSION };
    Reader::open(OBJECT, bytes, PACK_MAX_BYTES, MAGIC, version)?;
    let trailer_at = bytes.len().saturating_sub(TRAILER_BYTES);
    let mut trailer = Reader::new(OBJECT, &bytes[trailer_at..]);
    let frames = trailer.u32("frame count")?;
    let offset = trailer.u32("index offset")? as usize;
    let len = trailer.u32("index length")? as usize;
    if trailer.take("closing magic", 8)? != MAGIC {
        return Err(trailer.invalid("it does not end with its magic bytes"));
    }
    if offset < HEADER_BYTES || offset + len != trailer_at {
        return Err(trailer.invalid("its index is not where the trailer says"));
    }
    let mut index = Reader::new(OBJECT, &bytes[offset..trailer_at]);
    let mut list = Vec::new();
    for _ in 0..frames {
        let frame = read_entry(&mut index, of_chunks)?;
        if frame.offset as usize + frame.stored_bytes as usize > offset {
            return Err(index.invalid("a frame runs into the index"));
        }
        list.push(frame);
    }
    index.end()?;
    Ok(list)
}

fn read_entry(index: &mut Reader<'_>, of_chunks: bool) -> Result<IndexedFrame, FormatError> {
    let (offset, stored_bytes) = (index.u32("frame offset")?, index.u32("frame length")?);
    let content_bytes = if of_chunks {
        Some(index.u32("frame content length")?)
    } else {
        None
    };
    let holds = index.u8("frame pieces")?;
    let fault = match content_bytes {
        Some(holds) => Slot {
            offset,
            stored_bytes,
            holds,
        }
        .fault(),
        None => Slot {
            offset,
            stored_bytes,
            holds,
        }
        .fault(),
    };
    if let Some(fault) = fault {
        return Err(index.invalid(fault));
    }
    let mut pieces = Vec::new();
    for _ in 0..holds {
        let id = index.digest("digest")?;
        let bytes = if of_chunks {
            index.u32("chunk length")?
        } else {
            BLOCK_BYTES as u32
        };
        pieces.push((id, bytes));
    }
    let held: u64 = pieces.iter().map(|(_, bytes)| u64::from(*bytes)).sum();
    if content_bytes.is_some_and(|content_bytes| u64::from(content_bytes) != held) {
        return Err(index.invalid("a frame's chunks are not its content"));
    }
    Ok(IndexedFrame {
        offset,
        stored_bytes,
        pieces,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> (PackId, Vec<u8>) {
        let mut pack = PackBuilder::<BlockId>::default();
        pack.push(b"first frame", &[BlockId::of(b"a"), BlockId::of(b"b")]);
        pack.push(b"second", &[BlockId::of(b"c")]);
        pack.finish()
    }

    #[test]
    fn golden_bytes() {
        let (id, bytes) = small();
        assert_eq!(bytes.len(), 12 + 17 + 2 * 9 + 3 * 32 + 20);
        assert_eq!(&bytes[..12], b"LARDERPK\x01\0\0\0");
        assert_eq!(
            id.to_string(),
            "6f0364f49e80bebf611b97f41318770563df46337605aa026f082c28647fd228",
            "the pack format changed: give it a new version"
        );
    }

    #[test]
    fn the_index_reads_back() {
        let (_, bytes) = small();
        let index = read_index(&bytes).expect("a pack just written");
        assert_eq!(index.len(), 2);
        assert_eq!(index[1].pieces, [(*BlockId::of(b"c").as_bytes(), 65_536)]);
        let start = index[1].offset as usize;
        assert_eq!(
            &bytes[start..start + index[1].stored_bytes as usize],
            b"second"
        );
    }

    #[test]
    fn any_cut_is_refused() {
        let (_, bytes) = small();
        for len in 0..bytes.len() {
            assert!(read_index(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    fn small_of_chunks() -> (PackId, Vec<u8>) {
        let mut pack = PackBuilder::<ChunkId>::default();
        pack.push(
            b"first frame",
            &[(ChunkId::of(b"a"), 10), (ChunkId::of(b"b"), 300)],
        );
        pack.push(b"second", &[(ChunkId::of(b"c"), 7)]);
        pack.finish()
    }

    #[test]
    fn golden_bytes_of_chunks() {
        let (id, bytes) = small_of_chunks();
        assert_eq!(bytes.len(), 12 + 17 + 2 * 13 + 3 * 36 + 20);
        assert_eq!(&bytes[..12], b"LARDERPK\x02\0\0\0");
        assert_eq!(
            id.to_string(),
            "2d5217e95644f698922fabd5b8c030b8fb6e1944baf5df3b81c46fee6cee4125",
            "the format of chunk packs changed: give it a new version"
        );
    }

    #[test]
    fn the_index_of_chunks_reads_back_and_any_cut_is_refused() {
        let (_, bytes) = small_of_chunks();
        let index = read_index(&bytes).expect("a pack just written");
        assert_eq!(index[0].content_bytes(), 310);
        assert_eq!(index[1].pieces, [(*ChunkId::of(b"c").as_bytes(), 7)]);
        for len in 0..bytes.len() {
            assert!(read_index(&bytes[..len]).is_err(), "cut at {len}");
        }
    }
}
