//! A blob put together again: the two streams, interleaved by their runs.

use bytes::Bytes;

use super::runs::{Runs, Stretches};
use super::split::Stream;

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
#[derive(Debug, Clone, Default)]
pub struct Weaver {
    stretches: Stretches,
    stream: Stream,
    left: u64,
    held: [Bytes; 2],
}

impl Weaver {
    /// For a stretch with these runs.
    pub(super) fn new(runs: Runs) -> Self {
        Self {
            stretches: runs.into_iter(),
            ..Self::default()
        }
    }

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
