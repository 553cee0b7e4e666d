//! Another store in front of the store, such as one in the same rack. What it got first goes first.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::error::StoreError;
use crate::objects::Objects;

/// Where in the store it is.
const FOLDER: &str = "near-v1";
/// How long it may be in trouble. What it does not give comes from the far store.
const PATIENCE: Duration = Duration::from_secs(2);
/// Faults in a row after which it is left alone.
const FAULTS_MAX: u32 = 3;
/// Objects on their way to it. What comes meanwhile is not kept.
const UPLOADS_MAX: usize = 64;
/// Room is made until so much is used, in percent.
const MADE_PERCENT: u64 = 90;
/// It is listed anew after so many objects: others write too.
const LISTED_ANEW: u32 = 1_000;

/// The store.
#[derive(Debug)]
pub(super) struct Remote(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    objects: Objects,
    max_bytes: u64,
    used: Mutex<Used>,
    uploads: Arc<Semaphore>,
    faults: AtomicU32,
}

/// What it is known to hold, and how many objects ago.
#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    writes: u32,
}

impl Remote {
    pub(super) fn new(objects: Objects, max_bytes: u64) -> Self {
        objects.patience().set(PATIENCE);
        Self(Arc::new(Shared {
            objects,
            max_bytes,
            used: Mutex::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            faults: AtomicU32::new(0),
        }))
    }

    /// An object; a piece by itself, or as a part of the whole.
    pub(super) async fn get(
        &self,
        whole: &str,
        piece: Option<String>,
        range: Option<&Range<u64>>,
        max_bytes: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        let shared = &self.0;
        if shared.is_left_alone() {
            return Ok(None);
        }
        let (objects, whole) = (&shared.objects, path(whole));
        let Some((piece, range)) = piece.zip(range) else {
            return shared.judged(objects.get(&whole, max_bytes).await);
        };
        let bytes = (range.end - range.start) as usize;
        let (piece, whole) = (path(&piece), objects.get_range(&whole, range.clone()));
        // Which of them is there cannot be told, and both answers come as fast as one.
        let (piece, whole) = tokio::join!(objects.get(&piece, bytes), whole);
        let piece = shared.judged(piece)?.filter(|piece| piece.len() == bytes);
        match piece {
            Some(piece) => Ok(Some(piece)),
            None => shared.judged(whole),
        }
    }

    /// Keeps an object; not waited for.
    pub(super) async fn put(&self, key: String, bytes: Bytes) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.0);
        let Ok(permit) = Arc::clone(&shared.uploads).try_acquire_owned() else {
            return Ok(());
        };
        if bytes.len() as u64 > shared.max_bytes / 2 || shared.is_left_alone() {
            return Ok(());
        }
        shared.take_room(bytes.len() as u64).await?;
        drop(tokio::spawn(shared.upload(key, bytes, permit)));
        Ok(())
    }

    pub(super) async fn forget(&self, keys: &[String]) {
        let paths: Vec<String> = keys.iter().map(|key| path(key)).collect();
        if let Err(error) = self.0.objects.delete(&paths).await {
            tracing::debug!(%error, "not removed from the near tier");
        }
    }
}

impl Shared {
    // In a box: what uploads is itself a part of putting an object.
    fn upload(
        self: Arc<Self>,
        key: String,
        bytes: Bytes,
        permit: OwnedSemaphorePermit,
    ) -> BoxFuture<'static, ()> {
        async move {
            let put = self.objects.put(&path(&key), bytes).await;
            if let Err(error) = self.judged(put) {
                tracing::warn!(%error, "not kept near");
            }
            drop(permit);
        }
        .boxed()
    }

    fn is_left_alone(&self) -> bool {
        self.faults.load(Ordering::Relaxed) >= FAULTS_MAX
    }

    /// What is not there is a miss; so is what is not as it should be.
    fn judged<T>(&self, answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match answer {
            Ok(found) => {
                self.faults.store(0, Ordering::Relaxed);
                Ok(Some(found))
            }
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => {
                self.faults.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Counts so many bytes; where they are too many, removes what is oldest.
    async fn take_room(&self, bytes: u64) -> Result<(), StoreError> {
        let mut used = self.used.lock().await;
        let is_known = used.writes % LISTED_ANEW != 0;
        used.writes += 1;
        used.bytes += bytes;
        if is_known && used.bytes <= self.max_bytes {
            return Ok(());
        }
        let mut entries = self
            .judged(self.objects.entries(FOLDER).await)?
            .unwrap_or_default();
        used.bytes = entries.iter().map(|entry| entry.bytes).sum::<u64>() + bytes;
        if used.bytes <= self.max_bytes {
            return Ok(());
        }
        entries.sort_by_key(|entry| entry.modified_ms);
        let until = self.max_bytes / 100 * MADE_PERCENT;
        let mut gone = Vec::new();
        for entry in entries {
            if used.bytes <= until {
                break;
            }
            used.bytes -= entry.bytes;
            gone.push(entry.path);
        }
        self.objects.delete(&gone).await
    }
}

fn path(key: &str) -> String {
    format!("{FOLDER}/{key}")
}
