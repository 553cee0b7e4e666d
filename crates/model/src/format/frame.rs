//! Frames: neighbouring blocks compressed together, and how a block is found in one.
//!
//! A frame is up to `FRAME_BLOCKS` blocks, one after the other, as one zstd frame
//! (RFC 8878) with its content size in the frame header. A block is read by fetching its whole
//! frame, decompressing it, and comparing the block's BLAKE3 digest with the one in the map.

use std::ops::Range;

use crate::digest::{BlockId, PackId};
use crate::format::limits::{FRAME_BLOCKS, FRAME_CONTENT_BYTES, FRAME_STORED_MAX_BYTES};

/// Where a frame rests: a range of bytes in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameRef {
    /// The pack that holds it.
    pub pack: PackId,
    /// Where in the pack its first byte is.
    pub offset: u32,
    /// How many bytes it has there.
    pub stored_bytes: u32,
    /// How many blocks it holds, 1 to `FRAME_BLOCKS`.
    pub blocks: u8,
}

impl FrameRef {
    pub(crate) fn fault(&self) -> Option<String> {
        if self.blocks == 0 || usize::from(self.blocks) > FRAME_BLOCKS {
            return Some(format!("a frame of {} blocks", self.blocks));
        }
        place_fault(self.offset, self.stored_bytes)
    }

    /// The bytes of the pack that hold the frame.
    pub fn range(&self) -> Range<u64> {
        stored_range(self.offset, self.stored_bytes)
    }
}

/// Where a frame of chunks rests: a range of bytes in a pack, and how much it holds.
///
/// It is one zstd frame as well; its chunks have any lengths, so it says how many bytes of content
/// they make together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkFrame {
    /// The pack that holds it.
    pub pack: PackId,
    /// Where in the pack its first byte is.
    pub offset: u32,
    /// How many bytes it has there.
    pub stored_bytes: u32,
    /// How many bytes of content it holds, 1 to [`FRAME_CONTENT_BYTES`].
    pub content_bytes: u32,
}

impl ChunkFrame {
    pub(crate) fn fault(&self) -> Option<String> {
        if self.content_bytes == 0 || self.content_bytes as usize > FRAME_CONTENT_BYTES {
            return Some(format!(
                "a frame with {} bytes of content",
                self.content_bytes
            ));
        }
        place_fault(self.offset, self.stored_bytes)
    }

    /// The bytes of the pack that hold the frame.
    pub fn range(&self) -> Range<u64> {
        stored_range(self.offset, self.stored_bytes)
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

/// Says what is wrong with a place in a pack, whatever the pack.
fn place_fault(offset: u32, stored_bytes: u32) -> Option<String> {
    if stored_bytes == 0 || stored_bytes as usize > FRAME_STORED_MAX_BYTES {
        return Some(format!("a frame of {stored_bytes} bytes"));
    }
    let end = offset.checked_add(stored_bytes);
    end.is_none().then(|| format!("a frame at offset {offset}"))
}

fn stored_range(offset: u32, stored_bytes: u32) -> Range<u64> {
    let start = u64::from(offset);
    start..start + u64::from(stored_bytes)
}
