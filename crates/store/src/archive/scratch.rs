//! Frames that were fetched, kept as they came in a file of this machine. Layers share files (a stage's
//! and those that copy from it), each layer is read by itself, and a far store should be asked once.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use larder_model::frame::ChunkFrame;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use larder_objects::{StoreError, blocking};

/// What is kept at most; a restore that fetches more asks the store again.
const BYTES_MAX: u64 = 4 << 30;

/// A file with frames, in the order in which they came.
#[derive(Debug)]
pub(super) struct Scratch {
    file: File,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    /// Where each frame is, known when it was fetched. There whoever needs it meanwhile waits.
    frames: HashMap<ChunkFrame, Arc<OnceCell<Option<Place>>>>,
    end: u64,
}

/// Where a frame begins in the file, and what it was: the file's disk is not the store's fault.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    digest: blake3::Hash,
}

impl Scratch {
    /// Keeps the frames that are fetched in this file, whose content is overwritten.
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            index: Mutex::default(),
        }
    }

    /// The frame as it is stored: from the file, or fetched and kept there.
    pub(super) async fn get<F>(
        self: &Arc<Self>,
        frame: ChunkFrame,
        fetch: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<Bytes, StoreError>
    where
        F: Future<Output = Result<Bytes, StoreError>> + Send + 'static,
    {
        // In a task of its own: others wait for what is fetched here, and whoever asks may be stalled by
        // those that take its bytes.
        let getting = tokio::spawn(Arc::clone(self).get_once(frame, fetch));
        getting.await.expect("getting a frame does not panic")
    }

    async fn get_once<F>(
        self: Arc<Self>,
        frame: ChunkFrame,
        fetch: impl Fn() -> F,
    ) -> Result<Bytes, StoreError>
    where
        F: Future<Output = Result<Bytes, StoreError>>,
    {
        let cell = Arc::clone(self.index.lock().frames.entry(frame).or_default());
        let mut fetched = None;
        let keep = async {
            let stored = fetch().await?;
            fetched = Some(stored.clone());
            Ok::<_, StoreError>(self.keep(stored).await)
        };
        let place = *cell.get_or_try_init(|| keep).await?;
        let kept = match (fetched, place) {
            (None, Some(place)) => self.read(frame, place).await,
            (fetched, _) => fetched,
        };
        match kept {
            Some(stored) => Ok(stored),
            None => fetch().await,
        }
    }

    async fn read(self: &Arc<Self>, frame: ChunkFrame, place: Place) -> Option<Bytes> {
        let own = Arc::clone(self);
        let stored = blocking(move || {
            let mut stored = vec![0; frame.slot.stored_bytes as usize];
            let read = own.file.read_exact_at(&mut stored, place.at);
            (read.is_ok() && blake3::hash(&stored) == place.digest).then_some(stored)
        })
        .await;
        stored.map(Bytes::from)
    }

    /// Where the frame is now, if there was room.
    async fn keep(self: &Arc<Self>, stored: Bytes) -> Option<Place> {
        let at = self.reserve(stored.len() as u64)?;
        let own = Arc::clone(self);
        blocking(move || {
            let digest = blake3::hash(&stored);
            own.file.write_all_at(&stored, at)?;
            Ok::<_, std::io::Error>(Place { at, digest })
        })
        .await
        .inspect_err(|error| tracing::debug!(%error, "a frame is not kept"))
        .ok()
    }

    fn reserve(&self, bytes: u64) -> Option<u64> {
        let mut index = self.index.lock();
        let at = index.end;
        index.end = at.checked_add(bytes).filter(|end| *end <= BYTES_MAX)?;
        Some(at)
    }
}
