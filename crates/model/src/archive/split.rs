//! Splitting a tar into two streams: **meta** (headers and records about files) and **content**
//! (what the files hold), so that a header whose time changed does not spoil the dedupe of what
//! stands behind it.
//!
//! The result is a list of [`Runs`]: so many bytes to meta, so many to content, and so on.
//! Rebuilding interleaves the two streams by the runs and never looks at a tar. So nothing here can
//! be wrong about bytes; a guess that is wrong, or a blob that is no tar, costs ratio only.
//!
//! The padding behind a file counts as content: both streams then consist of whole blocks of the
//! tar, headers lie at equal distances in the meta stream, which compresses better, and padding
//! that follows from the content is deduplicated with it.

use super::tar::{BLOCK_BYTES, Header, PaxSize, padded, sparse_goes_on};

/// One of the two streams that a blob is split into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Headers, and records about files.
    Meta,
    /// What files hold, and all that is not understood.
    Content,
}

impl Stream {
    /// Both, in the order of the format.
    pub const BOTH: [Self; 2] = [Self::Meta, Self::Content];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Meta => Self::Content,
            Self::Content => Self::Meta,
        }
    }
}

/// Says of each byte of a blob, given in pieces of any size, to which stream it belongs.
///
/// Holds one block of the tar and a few numbers, whatever the headers claim.
#[derive(Debug)]
pub struct Splitter {
    state: State,
    /// The beginning of a block that must be seen as a whole.
    block: [u8; BLOCK_BYTES],
    filled: usize,
    /// What a PAX header said of the next file's size.
    size: Option<u64>,
}

#[derive(Debug)]
enum State {
    /// Where a header may stand.
    Header,
    /// In the map of an old GNU sparse file, whose contents follow.
    SparseMap { contents: u64 },
    /// In contents, padding included.
    Contents { left: u64 },
    /// In a record about the next file, padding included.
    Extension { left: u64 },
    /// In a PAX header, which so many bytes of padding follow.
    Pax {
        left: u64,
        padding: u64,
        records: PaxSize,
    },
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            state: State::Header,
            block: [0; BLOCK_BYTES],
            filled: 0,
            size: None,
        }
    }
}

impl Splitter {
    /// Takes the next bytes of the blob, and gives all bytes that are decided to `emit`, in order.
    pub fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(Stream, &[u8])) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Header | State::SparseMap { .. } => self.feed_block(bytes, &mut emit),
                _ => self.feed_run(bytes, &mut emit),
            };
        }
    }

    /// Ends the blob.
    pub fn finish(self, mut emit: impl FnMut(Stream, &[u8])) {
        if self.filled > 0 {
            emit(Stream::Content, &self.block[..self.filled]);
        }
    }

    /// Takes bytes of a block that must be seen as a whole.
    fn feed_block<'a>(
        &mut self,
        bytes: &'a [u8],
        emit: &mut impl FnMut(Stream, &[u8]),
    ) -> &'a [u8] {
        if self.filled == 0
            && let Some((block, rest)) = bytes.split_first_chunk()
        {
            let stream = self.look(block);
            emit(stream, block);
            return rest;
        }
        let len = bytes.len().min(BLOCK_BYTES - self.filled);
        self.block[self.filled..self.filled + len].copy_from_slice(&bytes[..len]);
        self.filled += len;
        if self.filled == BLOCK_BYTES {
            self.filled = 0;
            let block = self.block;
            emit(self.look(&block), &block);
        }
        &bytes[len..]
    }

    fn look(&mut self, block: &[u8; BLOCK_BYTES]) -> Stream {
        if let State::SparseMap { contents } = self.state {
            if !sparse_goes_on(block) {
                self.state = State::contents(contents);
            }
            return Stream::Meta;
        }
        let Some(header) = Header::parse(block, self.size) else {
            self.size = None;
            return Stream::Content;
        };
        match header {
            Header::Contents(size) => {
                self.state = State::contents(size);
                self.size = None;
            }
            Header::Sparse(contents) => {
                self.state = State::SparseMap { contents };
                self.size = None;
            }
            Header::Extension(size) => self.state = State::extension(padded(size)),
            Header::Pax(0) => {}
            Header::Pax(size) => {
                self.state = State::Pax {
                    left: size,
                    padding: padded(size) - size,
                    records: PaxSize::default(),
                }
            }
        }
        Stream::Meta
    }

    /// Takes bytes that need not be seen as a whole.
    fn feed_run<'a>(&mut self, bytes: &'a [u8], emit: &mut impl FnMut(Stream, &[u8])) -> &'a [u8] {
        let (stream, left) = match &mut self.state {
            State::Contents { left } => (Stream::Content, left),
            State::Extension { left } | State::Pax { left, .. } => (Stream::Meta, left),
            State::Header | State::SparseMap { .. } => unreachable!("these are fed by blocks"),
        };
        let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
        *left -= len as u64;
        let ended = *left == 0;
        let (now, rest) = bytes.split_at(len);
        if let State::Pax { records, .. } = &mut self.state {
            records.feed(now);
        }
        if ended {
            self.end_run();
        }
        emit(stream, now);
        rest
    }

    fn end_run(&mut self) {
        self.state = match &self.state {
            State::Pax {
                records, padding, ..
            } => {
                self.size = records.size;
                State::extension(*padding)
            }
            _ => State::Header,
        };
    }
}

impl State {
    fn contents(size: u64) -> Self {
        match padded(size) {
            0 => Self::Header,
            left => Self::Contents { left },
        }
    }

    fn extension(padded: u64) -> Self {
        match padded {
            0 => Self::Header,
            left => Self::Extension { left },
        }
    }
}
