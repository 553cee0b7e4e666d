//! Objects in a store: put, get and list, each bounded in bytes and in time.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ListResult, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use crate::error::StoreError;
use crate::request::Patience;

/// The objects of one store.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    patience: Arc<Patience>,
}

impl Objects {
    /// The objects below `prefix`.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self {
            store: Arc::new(PrefixStore::new(store, prefix)),
            patience: Arc::default(),
        }
    }

    /// How long the store is waited for, by this and all its clones.
    pub fn patience(&self) -> &Patience {
        &self.patience
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
        let payload = &bytes.into();
        let at = &at;
        let write = || async move {
            let options = PutOptions::from(PutMode::Create);
            match self.store.put_opts(at, payload.clone(), options).await {
                Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
                // Stores without conditional writes: names are digests, so the content is equal.
                Err(object_store::Error::NotImplemented { .. }) => {
                    self.store.put(at, payload.clone()).await.map(drop)
                }
                other => other.map(drop),
            }
        };
        self.patience.ask("write", path, write).await
    }

    /// Reads a whole object of at most `max_bytes`.
    pub async fn get(&self, path: &str, max_bytes: usize) -> Result<Bytes, StoreError> {
        let at = &Path::from(path);
        let read = || async move {
            let found = self.store.get(at).await?;
            let size = found.meta.size;
            if size > max_bytes as u64 {
                return Ok(Err(size));
            }
            found.bytes().await.map(Ok)
        };
        let read = self.patience.ask("read", path, read).await?;
        read.map_err(|size| {
            StoreError::damaged(
                path,
                format!("it has {size} bytes, {max_bytes} are allowed"),
            )
        })
    }

    /// Reads a range of an object: exactly as many bytes as asked for.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (at, end) = (&Path::from(path), range.end);
        let wanted = range.end - range.start;
        let read = || {
            let read = self.store.get_range(at, range.clone());
            async move {
                let bytes = read.await?;
                let came = bytes.len() as u64;
                if came == wanted {
                    return Ok(Ok(bytes));
                }
                // Of an object that is cut a store gives what it has, and so does a proxy that fails, of any.
                let size = self.store.head(at).await?.size;
                if size < end {
                    return Ok(Err(size));
                }
                Err(object_store::Error::Generic {
                    store: "answer",
                    source: format!("{came} of {wanted} bytes came").into(),
                })
            }
        };
        let size = match self.patience.ask("read", path, read).await {
            Ok(Ok(bytes)) => return Ok(bytes),
            Ok(Err(size)) => size,
            // Each store has words of its own for a range beyond the end; the size says it for all.
            Err(error) => match self.size(path).await {
                Some(size) if size < end => size,
                _ => return Err(error),
            },
        };
        let why = format!("it is cut short: {size} of {end} bytes");
        Err(StoreError::damaged(path, why))
    }

    /// The size of an object that could not be read, or not as it should be.
    pub(crate) async fn size(&self, path: &str) -> Option<u64> {
        let at = Path::from(path);
        let asked = self.patience.ask("read", path, || self.store.head(&at));
        asked.await.ok().map(|meta| meta.size)
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
        let at = &Path::from(folder);
        let list = || async move {
            let paths = kind(self.store.list_with_delimiter(Some(at)).await?);
            let names = paths.iter().filter_map(Path::filename);
            Ok(names.map(str::to_owned).collect())
        };
        self.listed(folder, list).await
    }

    /// The paths of at most `max` objects anywhere below a folder.
    pub async fn walk(&self, folder: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let at = Path::from(folder);
        let list = || {
            let objects = self.store.list(Some(&at)).take(max);
            objects
                .map_ok(|object| object.location.to_string())
                .try_collect()
        };
        self.listed(folder, list).await
    }

    async fn listed<F: Future<Output = object_store::Result<Vec<String>>>>(
        &self,
        folder: &str,
        list: impl Fn() -> F,
    ) -> Result<Vec<String>, StoreError> {
        match self.patience.ask("list", folder, list).await {
            Err(StoreError::Missing { .. }) => Ok(Vec::new()),
            other => other,
        }
    }
}
