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
use crate::format::limits::PACK_MAX_BYTES;
use crate::format::wire::write_header;

const MAGIC: [u8; 8] = *b"LARDERPK";
const VERSION: u16 = 1;
/// Version of a pack of chunks.
const CHUNKS_VERSION: u16 = 2;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::frame::FrameRef;
    use crate::format::wire::{FormatError, Reader};

    const HEADER_BYTES: usize = 12;
    const TRAILER_BYTES: usize = 20;
    const OBJECT: &str = "pack";

    // No program reads an index yet. These readers show that it says enough to find every frame, and
    // that a cut is noticed.

    /// A frame as a pack's own index describes it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct IndexedFrame {
        /// Where it is.
        slot: FrameSlot,
        /// The digests of its blocks, in order.
        blocks: Vec<BlockId>,
    }

    /// A frame of chunks as a pack's own index describes it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct IndexedChunks {
        /// Where it is.
        slot: ChunkSlot,
        /// Its chunks' digests and lengths, in order.
        chunks: Vec<(ChunkId, u32)>,
    }

    /// Reads the index of a whole pack of blocks.
    fn read_index(bytes: &[u8]) -> Result<Vec<IndexedFrame>, FormatError> {
        read_entries(bytes, VERSION, read_indexed_frame)
    }

    /// Reads the index of a whole pack of chunks.
    fn read_chunk_index(bytes: &[u8]) -> Result<Vec<IndexedChunks>, FormatError> {
        read_entries(bytes, CHUNKS_VERSION, read_indexed_chunks)
    }

    fn read_entries<T>(
        bytes: &[u8],
        version: u16,
        read: impl Fn(&mut Reader<'_>, usize) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        if bytes.len() > PACK_MAX_BYTES {
            return Err(FormatError::invalid(
                OBJECT,
                format!("it has {} bytes", bytes.len()),
            ));
        }
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
            list.push(read(&mut index, offset)?);
        }
        index.end()?;
        Ok(list)
    }

    fn read_indexed_frame(index: &mut Reader<'_>, end: usize) -> Result<IndexedFrame, FormatError> {
        let slot = FrameSlot {
            offset: index.u32("frame offset")?,
            stored_bytes: index.u32("frame length")?,
            holds: index.u8("block count")?,
        };
        if let Some(fault) = slot.fault() {
            return Err(index.invalid(fault));
        }
        if slot.offset as usize + slot.stored_bytes as usize > end {
            return Err(index.invalid("a frame runs into the index"));
        }
        let blocks = (0..slot.holds)
            .map(|_| index.digest("block digest").map(BlockId::from_bytes))
            .collect::<Result<_, _>>()?;
        Ok(IndexedFrame { slot, blocks })
    }

    fn read_indexed_chunks(
        index: &mut Reader<'_>,
        end: usize,
    ) -> Result<IndexedChunks, FormatError> {
        let slot = ChunkSlot {
            offset: index.u32("frame offset")?,
            stored_bytes: index.u32("frame length")?,
            holds: index.u32("frame content length")?,
        };
        if let Some(fault) = slot.fault() {
            return Err(index.invalid(fault));
        }
        if slot.offset as usize + slot.stored_bytes as usize > end {
            return Err(index.invalid("a frame runs into the index"));
        }
        let count = index.u8("chunk count")?;
        let mut chunks = Vec::new();
        for _ in 0..count {
            let id = ChunkId::from_bytes(index.digest("chunk digest")?);
            chunks.push((id, index.u32("chunk length")?));
        }
        let held: u64 = chunks.iter().map(|(_, bytes)| u64::from(*bytes)).sum();
        if held != u64::from(slot.holds) {
            return Err(index.invalid("a frame's chunks are not its content"));
        }
        Ok(IndexedChunks { slot, chunks })
    }

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
        assert_eq!(index[1].blocks, [BlockId::of(b"c")]);
        let (pack, slot) = (PackId::of(&bytes), index[1].slot);
        let range = FrameRef { pack, slot }.range();
        assert_eq!(&bytes[range.start as usize..range.end as usize], b"second");
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
        let index = read_chunk_index(&bytes).expect("a pack just written");
        assert_eq!(index[0].slot.holds, 310);
        assert_eq!(index[1].chunks, [(ChunkId::of(b"c"), 7)]);
        assert!(read_index(&bytes).is_err(), "it is no pack of blocks");
        for len in 0..bytes.len() {
            assert!(read_chunk_index(&bytes[..len]).is_err(), "cut at {len}");
        }
    }
}
