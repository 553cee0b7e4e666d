//! Frames as zstd: compressing blocks together, and taking verified blocks out again.

use bytes::Bytes;
use larder_model::limits::{BLOCK_BYTES, FRAME_CONTENT_BYTES};

/// Level 1: the network and the disk are slower than the processor at any level, and a save stands
/// at the end of a job that somebody waits for.
const ZSTD_LEVEL: i32 = 1;

/// Compresses frames; holds zstd's working memory, so use one for many frames.
pub(crate) struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    pub(crate) fn new() -> Self {
        Self(zstd::bulk::Compressor::new(ZSTD_LEVEL).expect("level 1 exists"))
    }

    pub(crate) fn compress(&mut self, content: &[u8]) -> Vec<u8> {
        self.0
            .compress(content)
            .expect("the buffer has the size that zstd itself asks for")
    }
}

/// Decompresses a frame that must hold `blocks` blocks.
pub(crate) fn decompress(stored: &[u8], blocks: u8) -> Result<Bytes, String> {
    let expected = usize::from(blocks) * BLOCK_BYTES;
    debug_assert!(
        expected <= FRAME_CONTENT_BYTES,
        "checked when the map was read"
    );
    let content = zstd::bulk::decompress(stored, expected).map_err(|error| error.to_string())?;
    if content.len() != expected {
        return Err(format!("it holds {} bytes, not {expected}", content.len()));
    }
    Ok(content.into())
}
