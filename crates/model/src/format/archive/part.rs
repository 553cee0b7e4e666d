//! Recipe parts: how one stretch of a blob is rebuilt from chunks.
//!
//! # Data format
//!
//! ```text
//! "LARDERRP"  version u16 = 1  0 u16                                                      12 bytes
//! packs u32  frames u32  meta chunks u32  content chunks u32  runs u32                    20 bytes
//! per pack:   id [32]
//! per frame:  pack u32  offset u32  stored bytes u32  content bytes u32
//! per chunk:  id [32]                 all of meta, then all of content; and in the same order
//! per chunk:  frame u32               place in the table of frames
//! per chunk:  offset u32              in the frame's content
//! per chunk:  bytes u32
//! per run:    bytes, as LEB128        meta and content in turn, meta first (perhaps 0)
//! ```
//!
//! All numbers are little-endian. Packs and frames stand in the order in which they are first named,
//! so that equal content has equal bytes. The stretch is rebuilt by taking the bytes of each run from
//! its stream, which is its chunks, one after the other.
//!
//! A part is stored compressed (zstd, with its content size in the frame header); its [`PartId`] is
//! the BLAKE3 digest of the stored bytes. All new parts of one save are back to back in one object
//! (or several), at `recipes/<first two digits>/<id>`.
//!
//! [`PartId`]: crate::digest::PartId

use std::collections::HashMap;

use super::runs::Runs;
use super::split::Stream;
use super::weave::Weaver;
use crate::digest::{ChunkId, PackId};
use crate::format::frame::{ChunkFrame, ChunkSlot};
use crate::format::limits::{CHUNK_MAX_BYTES, PART_BLOB_BYTES, PART_MAX_BYTES, PART_RUNS_MAX};
use crate::format::wire::{FormatError, Reader, write_header};

const MAGIC: [u8; 8] = *b"LARDERRP";
const VERSION: u16 = 1;
const OBJECT: &str = "recipe part";

/// A chunk, and where it is: a stretch of a frame's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The digest of its content.
    pub id: ChunkId,
    /// The number of its frame: in [`Part::frames`], or among all frames of a save in a [`Draft`].
    pub frame: u32,
    /// Where in the frame's content it begins.
    pub offset: u32,
    /// How many bytes it has.
    pub bytes: u32,
}

/// A part whose frames may not be stored yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// How the streams interleave.
    pub runs: Runs,
    /// The chunks of each stream, in order.
    pub chunks: [Vec<Chunk>; 2],
}

impl Draft {
    /// The part, once every frame has its place.
    pub fn place(self, mut frame_of: impl FnMut(u32) -> ChunkFrame) -> Part {
        let mut frames = Vec::new();
        let mut places = HashMap::new();
        let mut chunks = self.chunks;
        for chunk in chunks.iter_mut().flatten() {
            chunk.frame = *places.entry(chunk.frame).or_insert_with(|| {
                frames.push(frame_of(chunk.frame));
                frames.len() as u32 - 1
            });
        }
        Part {
            runs: self.runs,
            frames,
            chunks,
        }
    }
}

/// How one stretch of a blob is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    runs: Runs,
    frames: Vec<ChunkFrame>,
    chunks: [Vec<Chunk>; 2],
}

impl Part {
    /// How many bytes of the blob it rebuilds.
    pub fn blob_bytes(&self) -> u64 {
        self.runs.total()
    }

    /// The frames that hold its chunks.
    pub fn frames(&self) -> &[ChunkFrame] {
        &self.frames
    }

    /// All its chunks: those of meta, then those of content.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().flatten()
    }

    /// The chunks in the order in which [`Weaver`] asks for them.
    pub fn order(&self) -> Vec<Chunk> {
        let mut order = Vec::new();
        let mut rest = self.chunks.each_ref().map(|chunks| chunks.iter());
        let mut held = [0_u64; 2];
        for (stream, mut left) in self.runs.clone() {
            let held = &mut held[stream as usize];
            while left > 0 {
                if *held == 0 {
                    let Some(chunk) = rest[stream as usize].next() else {
                        break;
                    };
                    order.push(*chunk);
                    *held = u64::from(chunk.bytes);
                }
                let taken = left.min(*held);
                left -= taken;
                *held -= taken;
            }
        }
        order
    }

    /// What puts the stretch together.
    pub fn weaver(&self) -> Weaver {
        Weaver::new(self.runs.clone())
    }

    /// The part's bytes, before they are compressed.
    pub fn encode(&self) -> Vec<u8> {
        let mut packs: Vec<PackId> = Vec::new();
        let mut pack_places = HashMap::new();
        let mut frames = Vec::new();
        for frame in &self.frames {
            let pack = *pack_places.entry(frame.pack).or_insert_with(|| {
                packs.push(frame.pack);
                packs.len() as u32 - 1
            });
            let slot = frame.slot;
            for number in [pack, slot.offset, slot.stored_bytes, slot.holds] {
                frames.extend_from_slice(&number.to_le_bytes());
            }
        }
        let mut out = Vec::new();
        write_header(&mut out, MAGIC, VERSION);
        let [meta, content] = &self.chunks;
        for count in [packs.len(), self.frames.len(), meta.len(), content.len()] {
            out.extend_from_slice(&(count as u32).to_le_bytes());
        }
        out.extend_from_slice(&self.runs.count().to_le_bytes());
        for pack in &packs {
            out.extend_from_slice(pack.as_bytes());
        }
        out.extend_from_slice(&frames);
        for chunk in self.chunks() {
            out.extend_from_slice(chunk.id.as_bytes());
        }
        let fields: [fn(&Chunk) -> u32; 3] = [|it| it.frame, |it| it.offset, |it| it.bytes];
        for field in fields {
            for chunk in self.chunks() {
                out.extend_from_slice(&field(chunk).to_le_bytes());
            }
        }
        self.runs.encode(&mut out);
        out
    }

    /// Reads the bytes that [`Part::encode`] wrote, and checks that they fit together.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut from = Reader::open(OBJECT, bytes, PART_MAX_BYTES, MAGIC, VERSION)?;
        let [packs, frames, meta, content] =
            ["packs", "frames", "meta chunks", "content chunks"].map(|field| from.u32(field));
        let (meta, content) = (meta? as usize, content? as usize);
        let run_count = from.u32("runs")?;
        if run_count > PART_RUNS_MAX {
            return Err(from.invalid(format!("{run_count} runs")));
        }
        let packs = read_ids(&mut from, "pack id", packs? as usize)?;
        let frames = read_frames(&mut from, &packs, frames? as usize)?;
        let mut chunks = read_chunks(&mut from, &frames, meta + content)?;
        let runs = Runs::decode(&mut from, run_count, PART_BLOB_BYTES)?;
        if runs.total() == 0 {
            return Err(from.invalid("it rebuilds nothing"));
        }
        from.end()?;
        let content = chunks.split_off(meta);
        let part = Self {
            runs,
            frames,
            chunks: [chunks, content],
        };
        for stream in Stream::BOTH {
            let chunks = part.chunks[stream as usize].iter();
            let held: u64 = chunks.map(|chunk| u64::from(chunk.bytes)).sum();
            let needed = part.runs.bytes(stream);
            if held != needed {
                let what =
                    format!("its runs take {needed} bytes of {stream:?}, its chunks have {held}");
                return Err(FormatError::invalid(OBJECT, what));
            }
        }
        Ok(part)
    }
}

fn read_ids(
    from: &mut Reader<'_>,
    field: &'static str,
    count: usize,
) -> Result<Vec<[u8; 32]>, FormatError> {
    let bytes = from.take(field, count * 32)?;
    Ok(bytes.as_chunks().0.to_vec())
}

fn read_numbers<'a>(
    from: &mut Reader<'a>,
    field: &'static str,
    count: usize,
) -> Result<impl Iterator<Item = u32> + use<'a>, FormatError> {
    let bytes = from.take(field, count * 4)?;
    Ok(bytes
        .as_chunks()
        .0
        .iter()
        .map(|number| u32::from_le_bytes(*number)))
}

fn read_frames(
    from: &mut Reader<'_>,
    packs: &[[u8; 32]],
    count: usize,
) -> Result<Vec<ChunkFrame>, FormatError> {
    let mut frames = Vec::new();
    for _ in 0..count {
        let pack = from.u32("a frame's pack")?;
        let Some(pack) = packs.get(pack as usize) else {
            return Err(from.invalid(format!("a frame in pack {pack} of {}", packs.len())));
        };
        let slot = ChunkSlot {
            offset: from.u32("a frame's offset")?,
            stored_bytes: from.u32("a frame's stored bytes")?,
            holds: from.u32("a frame's content bytes")?,
        };
        if let Some(fault) = slot.fault() {
            return Err(from.invalid(fault));
        }
        let pack = PackId::from_bytes(*pack);
        frames.push(ChunkFrame { pack, slot });
    }
    Ok(frames)
}

fn read_chunks(
    from: &mut Reader<'_>,
    frames: &[ChunkFrame],
    count: usize,
) -> Result<Vec<Chunk>, FormatError> {
    let ids = read_ids(from, "chunk id", count)?;
    let in_frames = read_numbers(from, "a chunk's frame", count)?;
    let offsets = read_numbers(from, "a chunk's offset", count)?;
    let lengths = read_numbers(from, "a chunk's bytes", count)?;
    let numbers = in_frames.zip(offsets).zip(lengths);
    let mut chunks = Vec::with_capacity(ids.len());
    for (id, ((frame, offset), bytes)) in ids.into_iter().zip(numbers) {
        let holds = frames.get(frame as usize).map(|frame| frame.slot.holds);
        let end = u64::from(offset) + u64::from(bytes);
        let whole = bytes > 0 && bytes as usize <= CHUNK_MAX_BYTES;
        if !whole || holds.is_none_or(|holds| end > u64::from(holds)) {
            let what = format!("a chunk of {bytes} bytes at {offset} in frame {frame}");
            return Err(FormatError::invalid(OBJECT, what));
        }
        chunks.push(Chunk {
            id: ChunkId::from_bytes(id),
            frame,
            offset,
            bytes,
        });
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn frame(number: u32) -> ChunkFrame {
        ChunkFrame {
            pack: PackId::of(&[number as u8 / 2]),
            slot: ChunkSlot {
                offset: 12 + 1000 * number,
                stored_bytes: 900,
                holds: 1 << 20,
            },
        }
    }

    fn chunk(seed: u8, frame: u32, offset: u32, bytes: u32) -> Chunk {
        Chunk {
            id: ChunkId::of(&[seed]),
            frame,
            offset,
            bytes,
        }
    }

    fn example() -> Part {
        let mut draft = Draft::default();
        for (stream, len) in [
            (Stream::Meta, 512),
            (Stream::Content, 1024),
            (Stream::Meta, 1024),
        ] {
            draft.runs.push(stream, len);
        }
        draft.chunks = [
            vec![chunk(1, 7, 0, 1000), chunk(2, 4, 100, 536)],
            vec![chunk(3, 7, 1000, 1024)],
        ];
        draft.place(frame)
    }

    #[test]
    fn golden_bytes() {
        let bytes = example().encode();
        assert_eq!(&bytes[..12], b"LARDERRP\x01\0\0\0");
        assert_eq!(bytes.len(), 12 + 20 + 2 * 32 + 2 * 16 + 3 * 44 + 6);
        assert_eq!(
            ChunkId::of(&bytes).to_string(),
            "8d7aba0d09e8875f1f7b0e49cfe6633dcc8ab4cbce81f8236bd03bc26d8963fe",
            "the format of recipe parts changed: give it a new version"
        );
        assert_eq!(Part::decode(&bytes), Ok(example()));
    }

    #[test]
    fn any_cut_and_any_addition_is_refused() {
        let bytes = example().encode();
        for len in 0..bytes.len() {
            assert!(Part::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
        assert!(Part::decode(&[&bytes[..], b"\0"].concat()).is_err());
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_and_named() {
        let bytes = example().encode();
        // Offsets of: packs; runs; a frame's pack, stored and content bytes; a chunk's frame, offset
        // and bytes; the first run.
        let huge = [0xff, 0, 0, 0xff];
        for (at, with, says) in [
            (12, huge, "cut short"),
            (28, huge, "runs"),
            (96, [0xff, 0, 0, 0], "in pack 255"),
            (104, huge, "a frame of"),
            (108, huge, "bytes of content"),
            (224, [0xff, 0, 0, 0], "in frame 255"),
            (239, huge, "a chunk of"),
            (251, huge, "a chunk of"),
            (260, [0xff, 0xff, 0xff, 0x7f], "longer than"),
        ] {
            let mut broken = bytes.clone();
            broken[at..at + 4].copy_from_slice(&with);
            let error = Part::decode(&broken).expect_err("refused").to_string();
            assert!(error.contains(says), "at {at}: {error}");
        }
    }

    /// A draft whose chunks hold bytes that say which they are, and what it rebuilds.
    fn drafts() -> impl Strategy<Value = (Draft, Vec<Bytes>)> {
        let runs = prop::collection::vec((any::<bool>(), 1_usize..2000), 1..40);
        (runs, prop::collection::vec(1_usize..1500, 1..10)).prop_map(|(runs, lengths)| {
            let mut draft = Draft::default();
            for (meta, len) in runs {
                draft.runs.push(Stream::BOTH[usize::from(meta)], len);
            }
            let mut contents = Vec::new();
            let mut lengths = lengths.into_iter().cycle();
            for stream in Stream::BOTH {
                let mut left = draft.runs.bytes(stream) as usize;
                while left > 0 {
                    let len = lengths.next().expect("endless").min(left);
                    let number = contents.len() as u32;
                    let content: Vec<u8> =
                        (0..len).map(|at| (at as u32 + 31 * number) as u8).collect();
                    let chunk = Chunk {
                        id: ChunkId::of(&content),
                        frame: number,
                        offset: 0,
                        bytes: len as u32,
                    };
                    draft.chunks[stream as usize].push(chunk);
                    contents.push(content.into());
                    left -= len;
                }
            }
            (draft, contents)
        })
    }

    proptest! {
        #[test]
        fn any_part_reads_back_and_weaves_its_runs((draft, contents) in drafts()) {
            let part = draft.clone().place(frame);
            let decoded = Part::decode(&part.encode());
            prop_assert_eq!(decoded.as_ref(), Ok(&part));

            let flat = draft.chunks.each_ref().map(|chunks| {
                let bytes = chunks.iter().map(|chunk| contents[chunk.frame as usize].to_vec());
                bytes.collect::<Vec<_>>().concat()
            });
            let mut expected = Vec::new();
            let mut at = [0; 2];
            for (stream, len) in draft.runs.clone() {
                let at = &mut at[stream as usize];
                expected.extend_from_slice(&flat[stream as usize][*at..*at + len as usize]);
                *at += len as usize;
            }
            let mut order = part.order().into_iter();
            let (mut weaver, mut out) = (part.weaver(), Vec::new());
            while let Some(stream) = weaver.weave(|bytes| out.extend_from_slice(bytes)) {
                let chunk = order.next().expect("as many as are asked for");
                let content = contents.iter().find(|content| ChunkId::of(content) == chunk.id);
                weaver.give(stream, content.expect("one of them").clone());
            }
            prop_assert!(out == expected);
            prop_assert!(order.next().is_none());
        }

        #[test]
        fn any_bytes_are_read_or_refused(noise in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..266) {
            let mut bytes = example().encode();
            let end = bytes.len().min(at + noise.len());
            bytes[at..end].copy_from_slice(&noise[..end - at]);
            if let Ok(part) = Part::decode(&bytes) {
                prop_assert_eq!(Part::decode(&part.encode()), Ok(part));
            }
        }
    }
}
