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
use object_store::{ListResult, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

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
}

impl Objects {
    /// The objects below `prefix`.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self {
            store: Arc::new(PrefixStore::new(store, prefix)),
        }
    }

    /// A store that is empty and is gone with the process: for a job whose own store cannot be
    /// opened.
    pub fn nowhere() -> Self {
        Self::new(Arc::new(object_store::memory::InMemory::new()), "")
    }

    /// Writes an object whose name says its content. One that is there already is left as it is:
    /// a store never holds two contents under one name.
    pub async fn put(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<(), StoreError> {
        let at = Path::from(path);
        let options = PutOptions::from(PutMode::Create);
        let payload = bytes.into();
        let write = async {
            match self.store.put_opts(&at, payload.clone(), options).await {
                Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
                // Stores without conditional writes: names are digests, so the content is equal.
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
            if size > max_bytes as u64 {
                return Ok(Err(size));
            }
            found.bytes().await.map(Ok)
        };
        within(READ_LIMIT, "read", path, read)
            .await?
            .map_err(|size| {
                StoreError::damaged(
                    path,
                    format!("it has {size} bytes, {max_bytes} are allowed"),
                )
            })
    }

    /// Reads a range of an object: exactly as many bytes as asked for.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let at = Path::from(path);
        let read = self.store.get_range(&at, range.clone());
        let read = within(READ_LIMIT, "read", path, read).await;
        let size = match &read {
            Ok(bytes) => range.start + bytes.len() as u64,
            // Each store has words of its own for a range beyond the end; the size says it for all.
            Err(StoreError::Failed { .. }) => self.size(path).await.unwrap_or(range.end),
            Err(_) => range.end,
        };
        if size < range.end {
            let why = format!("it is cut short: {size} of {} bytes", range.end);
            return Err(StoreError::damaged(path, why));
        }
        read
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

    /// The names of the first `max` objects in a folder, in order; none if there is no folder.
    pub async fn first_names(&self, folder: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let objects = self.list(folder, |listing| {
            let objects = listing.objects.into_iter();
            objects.map(|object| object.location).collect()
        });
        let mut names = objects.await?;
        names.sort_unstable();
        names.truncate(max);
        Ok(names)
    }

    /// The names of at most `max` folders in a folder.
    pub async fn folders(&self, folder: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let folders = self.list(folder, |listing| listing.common_prefixes);
        let mut names = folders.await?;
        names.truncate(max);
        Ok(names)
    }

    /// The names of what is in a folder.
    async fn list(
        &self,
        folder: &str,
        kind: fn(ListResult) -> Vec<Path>,
    ) -> Result<Vec<String>, StoreError> {
        let at = Path::from(folder);
        let list = async {
            let paths = kind(self.store.list_with_delimiter(Some(&at)).await?);
            let names = paths.iter().filter_map(Path::filename);
            Ok(names.map(str::to_owned).collect())
        };
        self.listed(folder, list).await
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
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(StoreError::from_object_store(what, path, &error)),
        Err(_) => Err(StoreError::Slow {
            what,
            path: path.to_owned(),
            limit,
        }),
    }
}
