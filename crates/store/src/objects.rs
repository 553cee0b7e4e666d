//! Objects in a store: put, get and list, each bounded in bytes and in time.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_model::address;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutResult,
};

use crate::bounds::{Names, What, collect};
use crate::error::StoreError;

/// Time for reading one object or a part of it, retries included. A disk request that waits longer
/// than 120 s is reported by the kernel as a hung task.
pub const READ_LIMIT: Duration = Duration::from_secs(45);
/// Time for asking how large an object is that could not be read: the two limits together stay below
/// those 120 s.
const SIZE_LIMIT: Duration = Duration::from_secs(10);
/// Time for writing one object of at most a pack's size, retries included.
pub const WRITE_LIMIT: Duration = Duration::from_secs(120);

/// The objects of one store.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    names: Names,
}

impl Objects {
    /// The objects below `prefix`, whose names are listed by `names`.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: &str, names: Names) -> Self {
        Self {
            store: Arc::new(PrefixStore::new(store, prefix)),
            names,
        }
    }

    /// A store that is empty and is gone with the process: for a job whose own store cannot be
    /// opened.
    pub fn nowhere() -> Self {
        let store = object_store::memory::InMemory::new();
        Self::new(Arc::new(store), "", Names::Nowhere)
    }

    /// Writes an object whose name says its content. What is there under that name already is read, and
    /// written again unless it is just this: a store never holds two contents under one name, so what
    /// differs was damaged, or put there for us to find.
    pub async fn put(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<(), StoreError> {
        let at = Path::from(path);
        let payload = bytes.into();
        let write = async {
            match self.create(&at, &payload).await {
                Err(object_store::Error::AlreadyExists { .. }) => {
                    if self.holds(&at, &payload).await {
                        return Ok(());
                    }
                    tracing::warn!(path, "an object that is not what its name says is replaced");
                    self.store.put(&at, payload).await.map(drop)
                }
                // Stores without conditional writes: names are digests, so the content is equal.
                Err(object_store::Error::NotImplemented { .. }) => {
                    self.store.put(&at, payload).await.map(drop)
                }
                other => other.map(drop),
            }
        };
        within(WRITE_LIMIT, "write", path, write).await
    }

    async fn create(&self, at: &Path, payload: &PutPayload) -> object_store::Result<PutResult> {
        let options = PutOptions::from(PutMode::Create);
        self.store.put_opts(at, payload.clone(), options).await
    }

    /// Whether an object has these bytes. One that cannot be read may not have them.
    async fn holds(&self, at: &Path, payload: &PutPayload) -> bool {
        let expected = Bytes::from(payload.clone());
        let found = async { collect(self.store.get(at).await?, expected.len()).await };
        match found.await {
            Ok(found) => found.is_some_and(|found| found == expected),
            Err(error) => {
                tracing::debug!(%error, "an object that is there cannot be read back");
                false
            }
        }
    }

    /// Writes an object whose name does not say its content, unless there is one of that name.
    pub(crate) async fn put_first(&self, path: &str, bytes: String) -> Result<(), StoreError> {
        let (at, payload) = (Path::from(path), bytes.into());
        let write = async {
            match self.create(&at, &payload).await {
                Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
                Err(object_store::Error::NotImplemented { .. }) => {
                    self.store.put(&at, payload).await.map(drop)
                }
                other => other.map(drop),
            }
        };
        within(WRITE_LIMIT, "write", path, write).await
    }

    /// Reads a whole object of at most `max_bytes`.
    pub async fn get(&self, path: &str, max_bytes: usize) -> Result<Bytes, StoreError> {
        let at = Path::from(path);
        let read = async {
            let found = self.store.get(&at).await?;
            let size = found.meta.size;
            Ok(collect(found, max_bytes).await?.ok_or(size))
        };
        within(READ_LIMIT, "read", path, read)
            .await?
            .map_err(|size| {
                let size = size.max(max_bytes as u64 + 1);
                StoreError::damaged(
                    path,
                    format!("it has {size} bytes or more, {max_bytes} are allowed"),
                )
            })
    }

    /// Reads a range of an object: exactly as many bytes as asked for.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let at = Path::from(path);
        let asked = range.end.saturating_sub(range.start) as usize;
        let options = GetOptions::new().with_range(Some(range.clone()));
        let read = async { collect(self.store.get_opts(&at, options).await?, asked).await };
        let read = within(READ_LIMIT, "read", path, read).await;
        let size = match &read {
            Ok(Some(bytes)) => range.start + bytes.len() as u64,
            // Each store has words of its own for a range beyond the end; the size says it for all.
            Err(StoreError::Failed { .. }) => self.size(path).await.unwrap_or(range.end),
            Ok(None) | Err(_) => range.end,
        };
        if size < range.end {
            let why = format!("it is cut short: {size} of {} bytes", range.end);
            return Err(StoreError::damaged(path, why));
        }
        // That says nothing of the object.
        read?.ok_or_else(|| StoreError::Failed {
            what: "read",
            path: path.to_owned(),
            why: format!(
                "the store answers with more than the {asked} bytes that it was asked for"
            ),
        })
    }

    /// The size of an object that could not be read. If this fails too, the first error is the one
    /// to tell.
    async fn size(&self, path: &str) -> Option<u64> {
        let at = Path::from(path);
        let asked = within(SIZE_LIMIT, "read", path, self.store.head(&at)).await;
        asked.ok().map(|meta| meta.size)
    }

    /// Whether an object is there.
    pub async fn has(&self, path: &str) -> Result<bool, StoreError> {
        let at = Path::from(path);
        match within(READ_LIMIT, "read", path, self.store.head(&at)).await {
            Ok(_) => Ok(true),
            Err(StoreError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens some connections, so that the first requests that matter find them open. Whether that works
    /// is for those requests to tell.
    pub async fn connect(&self) {
        let ask = || self.has(address::FORMAT);
        let (first, second, third, fourth) = tokio::join!(ask(), ask(), ask(), ask());
        tracing::debug!(?first, ?second, ?third, ?fourth, "connections to the store");
    }

    /// The names of the first `max` objects in a folder after `after`, in order; none if there is no
    /// folder. It costs one request, however many there are.
    pub async fn first_names(
        &self,
        folder: &str,
        after: &str,
        max: usize,
    ) -> Result<Vec<String>, StoreError> {
        let names = self.names.first(What::Objects, folder, after, max);
        self.listed(folder, names).await
    }

    /// The names of at most `max` folders in a folder.
    pub async fn folders(&self, folder: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let names = self.names.first(What::Folders, folder, "", max);
        self.listed(folder, names).await
    }

    /// The paths of at most `max` objects anywhere below a folder.
    pub async fn walk(&self, folder: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let at = Path::from(folder);
        let objects = self.store.list(Some(&at)).take(max);
        let paths = objects.map_ok(|object| object.location.to_string());
        self.listed(folder, paths.try_collect()).await
    }

    async fn listed(
        &self,
        folder: &str,
        list: impl Future<Output = object_store::Result<Vec<String>>>,
    ) -> Result<Vec<String>, StoreError> {
        match within(READ_LIMIT, "list", folder, list).await {
            Err(StoreError::Missing { .. }) => Ok(Vec::new()),
            other => other,
        }
    }
}

async fn within<T>(
    limit: Duration,
    what: &'static str,
    path: &str,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StoreError> {
    // Boxed: it would make the future of every command that uses a store much larger.
    match tokio::time::timeout(limit, Box::pin(request)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(StoreError::from_object_store(what, path, &error)),
        Err(_) => Err(StoreError::Slow {
            what,
            path: path.to_owned(),
            limit,
        }),
    }
}
