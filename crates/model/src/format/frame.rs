//! Frames: neighbouring blocks compressed together, and how a block is found in one.
//!
//! A frame is up to `FRAME_BLOCKS` blocks, one after the other, as one zstd frame
//! (RFC 8878) with its content size in the frame header. A block is read by fetching its whole
//! frame, decompressing it, and comparing the block's BLAKE3 digest with the one in the map.

use std::ops::Range;

use crate::digest::{BlockId, PackId};
use crate::format::limits::{FRAME_BLOCKS, FRAME_CONTENT_BYTES, FRAME_STORED_MAX_BYTES};

/// Where a frame rests in a pack, whose id may not be known yet, and how much it holds: `u8` blocks, or
/// `u32` bytes of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot<Held> {
    /// Where in the pack its first byte is.
    pub offset: u32,
    /// How many bytes it has there.
    pub stored_bytes: u32,
    /// How much it holds.
    pub holds: Held,
}

/// A frame in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame<Held> {
    /// The pack that holds it.
    pub pack: PackId,
    /// Its place there.
    pub slot: Slot<Held>,
}

/// A slot that holds blocks, 1 to `FRAME_BLOCKS`.
pub type FrameSlot = Slot<u8>;
/// A frame of blocks.
pub type FrameRef = Frame<u8>;
/// A slot that holds bytes of chunks, 1 to [`FRAME_CONTENT_BYTES`].
pub type ChunkSlot = Slot<u32>;
/// A frame of chunks. It is one zstd frame as well; its chunks have any lengths, so it says how many
/// bytes of content they make together.
pub type ChunkFrame = Frame<u32>;

impl<Held> Frame<Held> {
    /// The bytes of the pack that hold the frame.
    pub fn range(&self) -> Range<u64> {
        let start = u64::from(self.slot.offset);
        start..start + u64::from(self.slot.stored_bytes)
    }
}

impl FrameSlot {
    pub(crate) fn fault(&self) -> Option<String> {
        if self.holds == 0 || usize::from(self.holds) > FRAME_BLOCKS {
            return Some(format!("a frame of {} blocks", self.holds));
        }
        self.place_fault()
    }
}

impl ChunkSlot {
    pub(crate) fn fault(&self) -> Option<String> {
        if self.holds == 0 || self.holds as usize > FRAME_CONTENT_BYTES {
            return Some(format!("a frame with {} bytes of content", self.holds));
        }
        self.place_fault()
    }
}

impl<Held> Slot<Held> {
    /// Says what is wrong with the place, whatever the pack.
    fn place_fault(&self) -> Option<String> {
        let (offset, stored_bytes) = (self.offset, self.stored_bytes);
        if stored_bytes == 0 || stored_bytes as usize > FRAME_STORED_MAX_BYTES {
            return Some(format!("a frame of {stored_bytes} bytes"));
        }
        let end = offset.checked_add(stored_bytes);
        end.is_none().then(|| format!("a frame at offset {offset}"))
    }
}

/// A block that is not all zeros: what it holds, and where that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockRef {
    /// The digest of its content.
    pub id: BlockId,
    /// The frame that holds it.
    pub frame: FrameRef,
    /// Its place among the frame's blocks, from 0.
    pub slot: u8,
}
