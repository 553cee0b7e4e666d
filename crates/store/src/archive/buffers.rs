//! Buffers for frames, used over and over.
//!
//! Frames are filled on one thread, compressed on another and packed on a third. An allocator that
//! has an arena for each thread would keep some of their memory in every one.

use std::sync::Arc;

use larder_model::limits::FRAME_STORED_MAX_BYTES;
use parking_lot::Mutex;

/// Buffers that nobody uses at the moment; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty buffer with room for a frame, compressed or not.
    pub(super) fn take(&self) -> Vec<u8> {
        let idle = self.0.lock().pop();
        idle.unwrap_or_else(|| Vec::with_capacity(FRAME_STORED_MAX_BYTES))
    }

    /// Gives a buffer back.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut idle = self.0.lock();
        idle.push(buffer);
    }
}
