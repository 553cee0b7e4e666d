//! Objects in a store: put, get, list and delete, each bounded in bytes and in time.

mod listing;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_model::address;
use larder_model::garbage::Brief;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutResult,
};
use parking_lot::Mutex;

pub use self::listing::Entry;
use crate::error::StoreError;
use crate::keys::Keys;
use crate::request::{Late, Names, Patience, What, collect};

/// The objects of one store.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    names: Names,
    patience: Arc<Patience>,
    late: Arc<Late>,
    /// What this process put there under a name that says the content: a collection may be about to remove
    /// just that, see `catalog::publish` of `larder-store`.
    written: Arc<Mutex<HashMap<Brief, String>>>,
    keys: Arc<Keys>,
}

/// An answer that says nothing of the object.
fn unreliable(what: String) -> object_store::Error {
    object_store::Error::Generic {
        store: "answer",
        source: what.into(),
    }
}

impl Objects {
    /// The objects below `prefix`, whose names are listed by `names`.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: &str, names: Names) -> Self {
        Self {
            store: Arc::new(PrefixStore::new(store, prefix)),
            names,
            patience: Arc::default(),
            late: Arc::default(),
            written: Arc::default(),
            keys: Arc::default(),
        }
    }

    /// The same, signed and believed by these keys.
    #[must_use]
    pub fn with_keys(self, keys: Keys) -> Self {
        Self {
            keys: Arc::new(keys),
            ..self
        }
    }

    /// How documents are signed and believed.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How long the store is waited for, by this and all its clones.
    pub fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Whether it is a folder of this machine, where a request takes no time.
    pub fn is_near(&self) -> bool {
        matches!(self.names, Names::Folder(_))
    }

    /// Reads that were asked for a second time, because they were late.
    pub fn asked_again(&self) -> u64 {
        self.late.asked_again()
    }

    /// A store that is empty and is gone with the process: for a job whose own store cannot be
    /// opened.
    pub fn nowhere() -> Self {
        let store = object_store::memory::InMemory::new();
        Self::new(Arc::new(store), "", Names::Nowhere)
    }

    /// Opens some connections, so that the first requests that matter find them open. Whether that works
    /// is for those requests to tell.
    pub async fn connect(&self) {
        let at = Path::from(address::FORMAT);
        let (first, second, third, fourth) = tokio::join!(
            self.store.head(&at),
            self.store.head(&at),
            self.store.head(&at),
            self.store.head(&at)
        );
        tracing::debug!(?first, ?second, ?third, ?fourth, "connections to the store");
    }

    /// Writes an object whose name says its content. What is there under that name already is written again,
    /// which changes nothing of an honest object, mends a damaged one, and makes it young: a collection
    /// removes nothing that the store has got of late.
    pub async fn put(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<(), StoreError> {
        let at = &Path::from(path);
        let payload = &bytes.into();
        if let Some(brief) = address::parse_content(path) {
            self.written.lock().insert(brief, path.to_owned());
        }
        let write = || async move {
            match self.create(at, payload).await {
                // Stores without conditional writes: names are digests, so the content is equal.
                Err(
                    object_store::Error::AlreadyExists { .. }
                    | object_store::Error::NotImplemented { .. },
                ) => self.replace(at, payload).await,
                other => other.map(drop),
            }
        };
        self.patience.ask("write", path, write).await
    }

    /// Writes what is there again. Credentials that may only create objects may find just what was to be
    /// written.
    async fn replace(&self, at: &Path, payload: &PutPayload) -> object_store::Result<()> {
        match self.store.put(at, payload.clone()).await {
            Err(error) if self.holds(at, payload).await => {
                tracing::debug!(%error, "an object that is there cannot be written again");
                Ok(())
            }
            other => other.map(drop),
        }
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

    /// Reads a whole object of at most `max_bytes`.
    pub async fn get(&self, path: &str, max_bytes: usize) -> Result<Bytes, StoreError> {
        let at = &Path::from(path);
        let read = || async move {
            let found = self.store.get(at).await?;
            let size = found.meta.size;
            Ok(collect(found, max_bytes).await?.ok_or(size))
        };
        let read = self.patience.ask("read", path, read).await?;
        read.map_err(|size| {
            let size = size.max(max_bytes as u64 + 1);
            StoreError::damaged(
                path,
                format!("it has {size} bytes or more, {max_bytes} are allowed"),
            )
        })
    }

    /// Reads a range of an object: exactly as many bytes as asked for.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (at, end) = (&Path::from(path), range.end);
        let bytes = end.saturating_sub(range.start);
        let read = || self.late.read(bytes, || self.read_range(at, range.clone()));
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

    /// The bytes, or the size of the object if it ends before the range does.
    async fn read_range(
        &self,
        at: &Path,
        range: Range<u64>,
    ) -> object_store::Result<Result<Bytes, u64>> {
        let (end, wanted) = (range.end, range.end.saturating_sub(range.start));
        let options = GetOptions::new().with_range(Some(range));
        let found = self.store.get_opts(at, options).await?;
        let Some(bytes) = collect(found, wanted as usize).await? else {
            return Err(unreliable(format!(
                "the store answers with more than the {wanted} bytes that it was asked for"
            )));
        };
        let came = bytes.len() as u64;
        if came == wanted {
            return Ok(Ok(bytes));
        }
        // Of an object that is cut a store gives what it has, and so does a proxy that fails, of any.
        let size = self.store.head(at).await?.size;
        if size < end {
            return Ok(Err(size));
        }
        Err(unreliable(format!("{came} of {wanted} bytes came")))
    }

    /// What this process wrote of what a list names, or all.
    pub fn written(&self, named: impl Fn(Brief) -> bool) -> Vec<String> {
        let written = self.written.lock();
        let named = written.iter().filter(|(brief, _)| named(**brief));
        named.map(|(_, path)| path.clone()).collect()
    }

    /// The size of an object, if it is there and the store says so.
    pub async fn size(&self, path: &str) -> Option<u64> {
        let at = Path::from(path);
        let asked = self.patience.ask("read", path, || self.store.head(&at));
        asked.await.ok().map(|meta| meta.size)
    }

    /// The names of the first `max` objects in a folder after `after`, in order; none if there is no
    /// folder. It costs one request, however many there are.
    pub async fn first_names(
        &self,
        folder: &str,
        after: &str,
        max: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.listed(folder, || {
            self.names.first(What::Objects, folder, after, max)
        })
        .await
    }

    /// The names of at most `max` folders in a folder.
    pub async fn folders(&self, folder: &str, max: usize) -> Result<Vec<String>, StoreError> {
        self.listed(folder, || self.names.first(What::Folders, folder, "", max))
            .await
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
