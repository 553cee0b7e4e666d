//! Run lengths: which stretches of a blob came from which stream, and the blob put together again.

use super::split::Stream;
use crate::format::wire::{FormatError, Reader, write_varint};

/// Stretches of a blob, in order, that belong to meta and to content in turn; meta comes first,
/// perhaps with no bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    /// Lengths that are settled, as LEB128.
    encoded: Vec<u8>,
    count: u32,
    /// The stretch that may still grow.
    last: u64,
    bytes: [u64; 2],
}

impl Runs {
    /// Adds bytes that follow.
    pub fn push(&mut self, stream: Stream, len: usize) {
        if len == 0 {
            return;
        }
        if stream != self.last_stream() {
            write_varint(&mut self.encoded, self.last);
            self.count += 1;
            self.last = 0;
        }
        self.last += len as u64;
        self.bytes[stream as usize] += len as u64;
    }

    fn last_stream(&self) -> Stream {
        Stream::BOTH[(self.count % 2) as usize]
    }

    /// How many runs there are.
    pub fn count(&self) -> u32 {
        self.count + u32::from(self.last > 0)
    }

    /// How many bytes of a stream they take.
    pub fn bytes(&self, stream: Stream) -> u64 {
        self.bytes[stream as usize]
    }

    /// How many bytes they make.
    pub fn total(&self) -> u64 {
        self.bytes[0] + self.bytes[1]
    }

    /// The lengths, as LEB128 each.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encoded);
        if self.last > 0 {
            write_varint(out, self.last);
        }
    }

    /// Reads `count` lengths that make no more than `most` bytes.
    pub(super) fn decode(
        reader: &mut Reader<'_>,
        count: u32,
        most: u64,
    ) -> Result<Self, FormatError> {
        let mut runs = Self::default();
        for at in 0..count {
            let len = reader.varint("run length")?;
            if len > most - runs.total() {
                return Err(reader.invalid("its runs are longer than what it rebuilds"));
            }
            if len == 0 && at > 0 {
                return Err(reader.invalid("a run has no bytes"));
            }
            runs.push(Stream::BOTH[(at % 2) as usize], len as usize);
        }
        Ok(runs)
    }
}

impl IntoIterator for Runs {
    type Item = (Stream, u64);
    type IntoIter = Stretches;

    fn into_iter(self) -> Stretches {
        Stretches {
            runs: self,
            ..Stretches::default()
        }
    }
}

/// The runs, in order: a stream, and how many bytes of it.
#[derive(Debug, Clone, Default)]
pub struct Stretches {
    runs: Runs,
    at: usize,
    next: Stream,
}

impl Iterator for Stretches {
    type Item = (Stream, u64);

    fn next(&mut self) -> Option<(Stream, u64)> {
        let rest = &self.runs.encoded[self.at..];
        let len = if rest.is_empty() {
            std::mem::take(&mut self.runs.last)
        } else {
            let (len, bytes) = settled(rest);
            self.at += bytes;
            len
        };
        let stream = self.next;
        self.next = stream.other();
        // Only a settled first run of meta may have no bytes.
        (len > 0 || !rest.is_empty()).then_some((stream, len))
    }
}

/// A length that [`Runs::push`] wrote, and how many bytes it takes.
fn settled(encoded: &[u8]) -> (u64, usize) {
    let mut value = 0;
    for (at, byte) in encoded.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return (value, at + 1);
        }
    }
    unreachable!("what push wrote is whole")
}
