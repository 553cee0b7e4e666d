//! Splitting a tar into two streams: **meta** (headers and records about files) and **content**
//! (what the files hold), so that a header whose time changed does not spoil the dedupe of what
//! stands behind it.
//!
//! The result is a list of [`Runs`](super::runs::Runs): so many bytes to meta, so many to content, and so on.
//! Rebuilding interleaves the two streams by the runs and never looks at a tar. So nothing here can
//! be wrong about bytes; a guess that is wrong, or a blob that is no tar, costs ratio only.
//!
//! The padding behind a file counts as content: both streams then consist of whole blocks of the
//! tar, headers lie at equal distances in the meta stream, which compresses better, and padding
//! that follows from the content is deduplicated with it.

use super::tar::{BLOCK_BYTES, Header, PaxSize, at_most, padded, sparse_goes_on};

/// One of the two streams that a blob is split into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Headers, and records about files.
    #[default]
    Meta,
    /// What files hold, and all that is not understood.
    Content,
}

impl Stream {
    /// Both, in the order of the format.
    pub const BOTH: [Self; 2] = [Self::Meta, Self::Content];

    #[must_use]
    pub(crate) fn other(self) -> Self {
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
        let len = at_most(*left, bytes.len());
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

#[cfg(test)]
mod tests {
    use super::super::runs::Runs;
    use super::*;
    use proptest::prelude::*;

    /// A header as GNU tar writes it; `size` in octal, or in base 256 if it is negative.
    fn header(kind: u8, size: u64) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..4].copy_from_slice(b"name");
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[156] = kind;
        sealed(block)
    }

    fn sealed(mut block: [u8; BLOCK_BYTES]) -> [u8; BLOCK_BYTES] {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn padded_bytes(bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
        out
    }

    /// The runs, and the two streams.
    fn split(bytes: &[u8], piece: usize) -> (Vec<(Stream, u64)>, [Vec<u8>; 2]) {
        let (mut runs, mut streams) = (Runs::default(), [Vec::new(), Vec::new()]);
        let mut splitter = Splitter::default();
        let mut emit = |stream: Stream, bytes: &[u8]| {
            runs.push(stream, bytes.len());
            streams[stream as usize].extend_from_slice(bytes);
        };
        for piece in bytes.chunks(piece) {
            splitter.feed(piece, &mut emit);
        }
        splitter.finish(&mut emit);
        (runs.into_iter().collect(), streams)
    }

    fn check(bytes: &[u8], expected: &[(Stream, u64)]) {
        for piece in [1, 7, 511, 512, 513, usize::MAX] {
            assert_eq!(split(bytes, piece).0, expected, "in pieces of {piece}");
        }
    }

    const META: Stream = Stream::Meta;
    const CONTENT: Stream = Stream::Content;

    #[test]
    fn contents_are_told_from_headers() {
        let tar = [
            header(b'5', 0).to_vec(),
            header(b'0', 700).to_vec(),
            padded_bytes(&[1; 700]),
            // A link with a size has no contents all the same.
            header(b'1', 700).to_vec(),
            header(0, 512).to_vec(),
            padded_bytes(&[2; 512]),
            vec![0; 1024],
        ];
        let expected = [(META, 1024), (CONTENT, 1024), (META, 1024), (CONTENT, 1536)];
        check(&tar.concat(), &expected);
    }

    #[test]
    fn records_belong_to_the_headers() {
        let tar = [
            header(b'L', 600).to_vec(),
            padded_bytes(&[b'n'; 600]),
            header(b'0', 1).to_vec(),
            padded_bytes(b"x"),
            // The size in the header is one that does not fit; the PAX header has the right one.
            header(b'x', 13).to_vec(),
            padded_bytes(b"13 size=1536\n"),
            header(b'0', 0).to_vec(),
            vec![3; 1536],
            // And is for one file only.
            header(b'0', 0).to_vec(),
            header(b'0', 2).to_vec(),
            padded_bytes(b"xy"),
        ];
        let expected = [
            (META, 512 + 1024 + 512),
            (CONTENT, 512),
            (META, 3 * 512),
            (CONTENT, 1536),
            (META, 1024),
            (CONTENT, 512),
        ];
        check(&tar.concat(), &expected);
    }

    #[test]
    fn huge_numbers_and_sparse_maps_are_understood() {
        let mut huge = header(b'0', 0);
        huge[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\x04\0");
        let mut sparse = header(b'S', 512);
        sparse[482] = 1;
        let mut map = [0; BLOCK_BYTES];
        map[504] = 1;
        let tar = [
            sealed(huge).to_vec(),
            vec![1; 1024],
            sealed(sparse).to_vec(),
            map.to_vec(),
            vec![0; BLOCK_BYTES],
            vec![9; 512],
            header(b'0', 0).to_vec(),
        ];
        let expected = [
            (META, 512),
            (CONTENT, 1024),
            (META, 1536),
            (CONTENT, 512),
            (META, 512),
        ];
        check(&tar.concat(), &expected);
    }

    #[test]
    fn what_is_no_tar_is_content_until_a_header_comes() {
        check(&[7; 5000], &[(META, 0), (CONTENT, 5000)]);
        check(&[], &[]);
        let tar = [vec![7; 1024], header(b'0', 0).to_vec(), vec![1; 100]].concat();
        check(
            &tar,
            &[(META, 0), (CONTENT, 1024), (META, 512), (CONTENT, 100)],
        );
    }

    #[test]
    fn a_size_beyond_all_bounds_makes_the_rest_content() {
        let mut huge = header(b'0', 0);
        huge[124..136].copy_from_slice(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
        let tar = [sealed(huge).to_vec(), vec![1; 100_000]].concat();
        check(&tar, &[(META, 512), (CONTENT, 100_000)]);
        let tar = [header(b'x', 0o7_7777_7777).to_vec(), vec![b'9'; 100_000]].concat();
        check(&tar, &[(META, 100_512)]);
    }

    fn odd_block() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop_oneof![
            Just(b'0'),
            Just(b'x'),
            Just(b'L'),
            Just(b'S'),
            Just(b'g'),
            any::<u8>()
        ];
        let block = (
            kind,
            0_u64..3000,
            prop::collection::vec((0_usize..512, any::<u8>()), 0..3),
        );
        let block = block.prop_map(|(kind, size, changes)| {
            let mut block = header(kind, size);
            for (at, byte) in changes {
                block[at] = byte;
            }
            sealed(block).to_vec()
        });
        let records =
            "[0-9]{1,3} (size|path)=[0-9]{0,5}\n".prop_map(|text| padded_bytes(text.as_bytes()));
        prop_oneof![block, records, prop::collection::vec(any::<u8>(), 0..1500)]
    }

    proptest! {
        #[test]
        fn the_runs_put_any_bytes_together_again(
            blocks in prop::collection::vec(odd_block(), 0..12),
            piece in 1_usize..3000,
        ) {
            let bytes = blocks.concat();
            let (runs, streams) = split(&bytes, piece);
            prop_assert_eq!(&(runs.clone(), streams.clone()), &split(&bytes, usize::MAX));
            let mut rest = streams.each_ref().map(|stream| &stream[..]);
            let mut again = Vec::new();
            for (stream, len) in runs {
                let (now, later) = rest[stream as usize].split_at(len as usize);
                again.extend_from_slice(now);
                rest[stream as usize] = later;
            }
            prop_assert!(again == bytes);
            prop_assert!(rest.iter().all(|rest| rest.is_empty()));
        }
    }
}
