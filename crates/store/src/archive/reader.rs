//! Reading an archive: a blob's bytes in order, each chunk verified before it is given out.
//!
//! A task of its own reads ahead of whoever takes the bytes: frames are fetched some at a time, in
//! the order in which they are needed, and unpacked and verified on other threads. What waits to be
//! taken is bounded, so a slow taker slows the task down.

use std::collections::VecDeque;
use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use larder_model::address;
use larder_model::archive::{Archive, Chunk, Part, Place, Weaver};
use larder_model::digest::ChunkId;
use larder_model::frame::ChunkFrame;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, mpsc};

use super::recipes;
use super::scratch::Scratch;
use crate::codec;
use crate::fetch::{Fetcher, Piece, Traffic};
use larder_objects::{Objects, StoreError, blocking, verified};

/// Frames that are fetched or verified at once. At 20 ms a request this is 400 MB/s.
const FRAMES_AHEAD: usize = 8;
/// Parts of the recipe that are read before they are needed.
const PARTS_AHEAD: usize = 2;
/// Unpacked frames that are kept, for chunks that are named again soon: headers and contents come in
/// turn, and equal files stand near each other. Up to 1 MiB each.
const FRAMES_KEPT: usize = 16;
/// Bytes that are given out at once, about.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that wait to be taken.
const PIECES_AHEAD: usize = 4;

/// Gives the blobs of one archive.
#[derive(Debug, Clone)]
pub struct ArchiveReader {
    fetcher: Fetcher,
    archive: Arc<Archive>,
    scratch: Option<Arc<Scratch>>,
}

/// The bytes of a blob, in order and verified. An error is the last item. Dropping it ends the
/// reading ahead.
#[derive(Debug)]
pub struct BlobStream {
    pieces: mpsc::Receiver<Result<Bytes, StoreError>>,
}

impl Stream for BlobStream {
    type Item = Result<Bytes, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_recv(context)
    }
}

impl ArchiveReader {
    /// A reader of this archive's blobs. Nothing is read yet.
    pub fn new(objects: Objects, archive: Arc<Archive>) -> Self {
        Self {
            fetcher: Fetcher::new(objects),
            archive,
            scratch: None,
        }
    }

    /// Keeps what is fetched in `file`, for the blobs that share it: for stores that are far. What is in
    /// the file is overwritten.
    #[must_use]
    pub fn with_scratch(self, file: File) -> Self {
        let scratch = Scratch::new(file);
        Self {
            scratch: Some(Arc::new(scratch)),
            ..self
        }
    }

    /// The archive that it reads.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// What was fetched so far, by all streams of this reader and its clones.
    pub fn traffic(&self) -> Traffic {
        self.fetcher.traffic()
    }

    /// The bytes of a blob, or `None` if the archive has no blob of this name. Must be called in a
    /// tokio runtime, where reading begins at once.
    pub fn blob(&self, name: &str) -> Option<BlobStream> {
        let blob = self.archive.blobs.get(name)?;
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let source = Arc::new(Frames {
            fetcher: self.fetcher.clone(),
            scratch: self.scratch.clone(),
            kept: Mutex::default(),
        });
        let place = blob.place.clone();
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = give_out(place, &source, &sender) => ended,
                () = sender.closed() => Ok(()),
            };
            if let Err(error) = ended {
                // Whoever dropped the stream does not want to know.
                let _gone = sender.send(Err(error)).await;
            }
        });
        Some(BlobStream { pieces })
    }
}

type Pieces = mpsc::Sender<Result<Bytes, StoreError>>;

async fn give_out(place: Place, source: &Arc<Frames>, pieces: &Pieces) -> Result<(), StoreError> {
    let parts = match place {
        Place::Inline(text) => {
            send(pieces, text.into()).await;
            return Ok(());
        }
        Place::Recipe(parts) => parts,
    };
    let parts = futures_util::stream::iter(parts)
        .map(|place| recipes::read(&source.fetcher, place))
        .buffered(PARTS_AHEAD);
    let mut steps = parts
        .map_ok(|part| futures_util::stream::iter(uses(&part).into_iter().map(Ok)))
        .try_flatten()
        .map(|one| source.step(one))
        .buffered(FRAMES_AHEAD);
    let mut weaver: Option<Weaver> = None;
    let mut piece = BytesMut::new();
    while let Some((begun, chunks)) = steps.try_next().await? {
        weaver = begun.or(weaver);
        let weaver = weaver.as_mut().expect("a part's first use has its weaver");
        for chunk in chunks {
            let stream = weaver.weave(|bytes| piece.extend_from_slice(bytes));
            weaver.give(stream.expect("chunks come as they are asked for"), chunk);
            weaver.weave(|bytes| piece.extend_from_slice(bytes));
            if piece.len() >= PIECE_BYTES {
                send(pieces, piece.split().freeze()).await;
            }
        }
    }
    send(pieces, piece.freeze()).await;
    Ok(())
}

async fn send(pieces: &Pieces, piece: Bytes) {
    if !piece.is_empty() {
        // Where nobody listens any more, the reading is ended by whoever waits for that.
        let _gone = pieces.send(Ok(piece)).await;
    }
}

/// One use of a frame: neighbouring chunks in the order of the blob that are all in it.
struct Use {
    /// For the first use of a part, which has at least one.
    weaver: Option<Weaver>,
    frame: ChunkFrame,
    chunks: Vec<Chunk>,
}

fn uses(part: &Part) -> Vec<Use> {
    let mut uses: Vec<Use> = Vec::new();
    let mut weaver = Some(part.weaver());
    for chunk in part.order() {
        let frame = part.frames()[chunk.frame as usize];
        match uses.last_mut() {
            Some(last) if last.frame == frame => last.chunks.push(chunk),
            _ => uses.push(Use {
                weaver: weaver.take(),
                frame,
                chunks: vec![chunk],
            }),
        }
    }
    uses
}

type Content = Arc<OnceCell<Bytes>>;

/// Fetches frames; keeps the last ones, unpacked.
struct Frames {
    fetcher: Fetcher,
    scratch: Option<Arc<Scratch>>,
    kept: Mutex<VecDeque<(ChunkFrame, Content)>>,
}

impl Frames {
    async fn step(
        &self,
        next: Result<Use, StoreError>,
    ) -> Result<(Option<Weaver>, Vec<Bytes>), StoreError> {
        let next = next?;
        Ok((next.weaver, self.chunks(next.frame, next.chunks).await?))
    }

    /// The content of chunks that are in one frame, verified.
    async fn chunks(
        &self,
        frame: ChunkFrame,
        chunks: Vec<Chunk>,
    ) -> Result<Vec<Bytes>, StoreError> {
        let cell = self.cell(frame);
        match cell.get_or_try_init(|| self.fetch(frame, &chunks)).await {
            Ok(content) => {
                if let Some(whole) = whole(content.clone(), chunks.clone()).await {
                    return Ok(whole);
                }
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        // What is kept here came wrong, or became so.
        let read = || stored(&self.fetcher, frame, chunks.clone());
        let read = verified(read, |stored| {
            let chunks = chunks.clone();
            async move {
                let whole = whole(unpacked(frame, stored).await?, chunks).await;
                whole
                    .ok_or_else(|| damaged(frame, "a chunk does not have the digest in the recipe"))
            }
        });
        read.await
    }

    /// The frame's place among the kept ones, where all who need it meet.
    fn cell(&self, frame: ChunkFrame) -> Content {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|(other, _)| *other == frame);
        let entry = at
            .and_then(|at| kept.remove(at))
            .unwrap_or_else(|| (frame, Content::default()));
        let cell = Arc::clone(&entry.1);
        kept.push_back(entry);
        if kept.len() > FRAMES_KEPT {
            kept.pop_front();
        }
        cell
    }

    async fn fetch(&self, frame: ChunkFrame, chunks: &[Chunk]) -> Result<Bytes, StoreError> {
        let chunks = chunks.to_vec();
        let stored = match &self.scratch {
            None => stored(&self.fetcher, frame, chunks).await?,
            Some(scratch) => {
                let fetcher = self.fetcher.clone();
                let fetch = move || {
                    let (fetcher, chunks) = (fetcher.clone(), chunks.clone());
                    async move { stored(&fetcher, frame, chunks).await }
                };
                scratch.get(frame, fetch).await?
            }
        };
        unpacked(frame, stored).await
    }
}

/// A frame as it rests in its pack. A near tier keeps only what was verified, by these chunks of it.
async fn stored(
    fetcher: &Fetcher,
    frame: ChunkFrame,
    chunks: Vec<Chunk>,
) -> Result<Bytes, StoreError> {
    let path = address::pack(frame.pack);
    if fetcher.objects().near().is_none() {
        return fetcher.range(&path, frame.range()).await;
    }
    let piece = Piece::part(&path, frame.range());
    let verified = fetcher.verified(piece, |stored| {
        let chunks = chunks.clone();
        async move {
            let content = unpacked(frame, stored.clone()).await?;
            let whole = whole(content, chunks).await.map(|_| stored);
            whole.ok_or_else(|| damaged(frame, "a chunk does not have the digest in the recipe"))
        }
    });
    verified.await
}

async fn unpacked(frame: ChunkFrame, stored: Bytes) -> Result<Bytes, StoreError> {
    let content =
        blocking(move || codec::decompress_exactly(&stored, frame.slot.holds as usize)).await;
    content.map_err(|why| damaged(frame, &why))
}

/// The chunks in a frame's content, if each has its digest.
async fn whole(content: Bytes, chunks: Vec<Chunk>) -> Option<Vec<Bytes>> {
    blocking(move || {
        let verified = chunks.iter().map(|chunk| {
            let start = chunk.offset as usize;
            let bytes = content.slice(start..start + chunk.bytes as usize);
            (ChunkId::of(&bytes) == chunk.id).then_some(bytes)
        });
        verified.collect()
    })
    .await
}

fn damaged(frame: ChunkFrame, why: &str) -> StoreError {
    let path = address::pack(frame.pack);
    StoreError::damaged(&path, format!("the frame at {}: {why}", frame.slot.offset))
}
