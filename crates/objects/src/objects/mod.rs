//! Objects in a store: put, get, list and delete, each bounded in bytes and in time.

mod copies;
mod listing;
mod names;
mod near;
mod probe;
mod sealing;
mod small;

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use larder_github::GitHub;
use larder_model::address;
use larder_model::garbage::Brief;
use larder_model::sealed::{Segments, plain_bytes, sealed_bytes};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    GetOptions, GetResult, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    PutResult,
};
use parking_lot::Mutex;

pub use self::listing::Entry;
pub use self::near::Near;
pub use self::probe::{Ability, Tried};
use self::sealing::Sealing;
use crate::blocking::blocking;
use crate::error::StoreError;
use crate::keys::{Heads, Keys, Sealer, has_last};
use crate::request::{Late, Names, Patience, collect};

/// Connections that are opened before they are needed. The first requests of a job on a branch list six folders at
/// once: of that branch, and of the main one by two names, this job's and any job's.
const CONNECTIONS: usize = 6;

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
    heads: Option<Arc<Heads>>,
    sealing: Arc<Sealing>,
    least_live_percent: Option<u64>,
    /// Held, and locked, while a store is used that holds just what the newest documents need.
    single: Option<Arc<File>>,
    near: Option<Near>,
    /// The store, if it is one that must be told what a document names.
    github: Option<GitHub>,
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
            heads: None,
            sealing: Arc::default(),
            least_live_percent: None,
            single: None,
            near: None,
            github: None,
        }
    }

    /// The same, signed, believed and sealed by these keys.
    #[must_use]
    pub fn with_keys(self, keys: Keys) -> Self {
        Self {
            sealing: Arc::new(Sealing::with(keys.encrypt.clone())),
            keys: Arc::new(keys),
            ..self
        }
    }

    /// The same on a machine that remembers what it has started from.
    pub(crate) fn remembering(self, heads: Heads) -> Self {
        Self {
            heads: Some(Arc::new(heads)),
            ..self
        }
    }

    /// The largest number of a line that this machine has started from, or saved; 0 if it remembers none.
    pub fn seen(&self, line: &str) -> u64 {
        self.heads.as_ref().map_or(0, |heads| heads.seen(line))
    }

    /// Remembers a number of a line; 0 is none.
    pub fn see(&self, line: &str, number: u64) {
        if let Some(heads) = self.heads.as_ref().filter(|_| number > 0) {
            heads.see(line, number);
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
        // There is no such object. (A folder would be a server's fault to some, to be asked for again.)
        let at = Path::from_iter([address::FORMAT, "nothing"]);
        let others = join_all((1..CONNECTIONS).map(|_| self.store.head(&at)));
        let (first, others) = tokio::join!(self.sealer(), others);
        let first = first.map(|sealer| sealer.is_some());
        tracing::debug!(?first, ?others, "connections to the store");
    }

    /// Writes an object whose name says its content. What is there under that name already is written again,
    /// which changes nothing of an honest object, mends a damaged one, and makes it young: a collection
    /// removes nothing that the store has got of late.
    pub async fn put(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<(), StoreError> {
        let plain = bytes.into();
        let named_by_content = address::parse_content(path);
        let near = self.near.as_ref().filter(|_| named_by_content.is_some());
        let near = near.map(|near| (near, Bytes::from(plain.clone())));
        let (at, payload) = self.stored(path, plain).await?;
        let (at, payload) = (&at, &payload);
        if let Some(brief) = named_by_content {
            self.written.lock().insert(brief, path.to_owned());
        }
        let write = || async move {
            match self.create(at, payload).await {
                // Stores without conditional writes: names are digests, so the content is equal.
                Err(
                    object_store::Error::AlreadyExists { .. }
                    | object_store::Error::NotImplemented { .. },
                ) => self.replace(at, payload).await,
                // Azure says so to who may only add, of what is there.
                Err(error @ object_store::Error::PermissionDenied { .. }) => {
                    self.unless_held(at, payload, error).await
                }
                other => other.map(drop),
            }
        };
        let stored = self.patience.ask("write", path, write);
        match near {
            // What was just made is as it should be.
            Some((near, plain)) => {
                let kept = Box::pin(near.put(path, None, plain));
                tokio::join!(stored, kept).0
            }
            None => stored.await,
        }
    }

    /// An object as it is stored, and where.
    async fn stored(
        &self,
        path: &str,
        plain: PutPayload,
    ) -> Result<(Path, PutPayload), StoreError> {
        let Some(sealer) = self.sealer_to_write().await? else {
            return Ok((Path::from(path), plain));
        };
        let own = path.to_owned();
        Ok(blocking(move || {
            let bytes = sealer.seal(&own, &Bytes::from(plain));
            (Path::from(sealer.object(&own)), bytes.into())
        })
        .await)
    }

    /// Writes what is there again. Credentials that may only create objects may find just what was to be
    /// written.
    async fn replace(&self, at: &Path, payload: &PutPayload) -> object_store::Result<()> {
        match self.store.put(at, payload.clone()).await {
            Err(error) => self.unless_held(at, payload, error).await,
            Ok(_) => Ok(()),
        }
    }

    /// An error, if an object does not have these bytes already.
    async fn unless_held(
        &self,
        at: &Path,
        payload: &PutPayload,
        error: object_store::Error,
    ) -> object_store::Result<()> {
        if Box::pin(self.holds(at, payload)).await {
            tracing::debug!(%error, "an object that is there cannot be written again");
            return Ok(());
        }
        Err(error)
    }

    async fn create(&self, at: &Path, payload: &PutPayload) -> object_store::Result<PutResult> {
        let options = PutOptions::from(PutMode::Create);
        self.store.put_opts(at, payload.clone(), options).await
    }

    /// Whether an object has these bytes. One that cannot be read may not have them.
    async fn holds(&self, at: &Path, payload: &PutPayload) -> bool {
        let expected = Bytes::from(payload.clone());
        let options = GetOptions::default();
        let found = async { collect(self.find(at, options).await?, expected.len()).await };
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
        let Some(sealer) = self.sealer().await? else {
            return self.get_stored(path, &Path::from(path), max_bytes).await;
        };
        let at = Path::from(sealer.object(path));
        let max_bytes = sealed_bytes(max_bytes as u64) as usize;
        let stored = self.get_stored(path, &at, max_bytes).await?;
        let stored = match sealer.open(path, stored) {
            Ok(plain) => return Ok(plain),
            Err(stored) => stored,
        };
        // Something on the way may cut it in the same place each time.
        match self.stored_bytes(path, &at).await {
            Some(bytes) if bytes != stored.len() as u64 => Err(StoreError::Failed {
                what: "read",
                path: path.to_owned(),
                why: format!("{} of {bytes} bytes came", stored.len()),
            }),
            _ => Err(not_sealed_so(path, &stored)),
        }
    }

    async fn get_stored(
        &self,
        path: &str,
        at: &Path,
        max_bytes: usize,
    ) -> Result<Bytes, StoreError> {
        let read = || async move {
            let found = self.find(at, GetOptions::default()).await?;
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
        match self.sealer().await? {
            None => {
                let stored = Stored {
                    at: Path::from(path),
                    end_min: range.end,
                    may_end: false,
                    range,
                };
                self.range_of(path, &stored).await
            }
            Some(sealer) => self.sealed_range(path, &sealer, &range).await,
        }
    }

    /// Reads the segments that a range lies in, and opens them.
    async fn sealed_range(
        &self,
        path: &str,
        sealer: &Sealer,
        range: &Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let segments = Segments::of(range);
        let stored = Stored {
            at: Path::from(sealer.object(path)),
            range: segments.stored,
            end_min: segments.end_min,
            may_end: true,
        };
        let stored = self.range_of(path, &stored).await?;
        let plain = sealer.open_from(path, segments.first, stored);
        let plain = plain.map_err(|stored| not_sealed_so(path, &stored))?;
        if plain.len() < segments.within.end {
            let why = format!("it is cut short: it ends before {}", range.end);
            return Err(StoreError::damaged(path, why));
        }
        Ok(plain.slice(segments.within))
    }

    async fn range_of(&self, path: &str, stored: &Stored) -> Result<Bytes, StoreError> {
        let end = stored.end_min;
        let bytes = stored.range.end.saturating_sub(stored.range.start);
        let read = || self.late.read(bytes, || self.read_range(stored));
        let size = match self.patience.ask("read", path, read).await {
            Ok(Ok(bytes)) => return Ok(bytes),
            Ok(Err(size)) => size,
            // Each store has words of its own for a range beyond the end; the size says it for all.
            Err(error) => match self.stored_bytes(path, &stored.at).await {
                Some(size) if size < end => size,
                _ => return Err(error),
            },
        };
        let why = format!("it is cut short: {size} of {end} bytes");
        Err(StoreError::damaged(path, why))
    }

    /// Asks for an object. In a folder anything may stand under its name.
    async fn find(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if self.names.is_no_file(at.as_ref()) {
            return Err(object_store::Error::NotFound {
                path: at.to_string(),
                source: "it is no file".into(),
            });
        }
        self.store.get_opts(at, options).await
    }

    /// The bytes, or the size of the object if it ends before the range does.
    async fn read_range(&self, stored: &Stored) -> object_store::Result<Result<Bytes, u64>> {
        let (at, range) = (&stored.at, stored.range.clone());
        let wanted = range.end.saturating_sub(range.start);
        let options = GetOptions::new().with_range(Some(range));
        let found = self.find(at, options).await?;
        let Some(bytes) = collect(found, wanted as usize).await? else {
            return Err(unreliable(format!(
                "the store answers with more than the {wanted} bytes that it was asked for"
            )));
        };
        let came = bytes.len() as u64;
        if came == wanted || stored.may_end && has_last(&bytes) {
            return Ok(Ok(bytes));
        }
        // Of an object that is cut a store gives what it has, and so does a proxy that fails, of any.
        let size = self.store.head(at).await?.size;
        if size < stored.end_min {
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
        match self.sealer().await.ok()? {
            None => self.stored_bytes(path, &Path::from(path)).await,
            Some(sealer) => {
                let at = Path::from(sealer.object(path));
                self.stored_bytes(path, &at).await.map(plain_bytes)
            }
        }
    }

    async fn stored_bytes(&self, path: &str, at: &Path) -> Option<u64> {
        if self.names.is_no_file(at.as_ref()) {
            return None;
        }
        let asked = self.patience.ask("read", path, || self.store.head(at));
        asked.await.ok().map(|meta| meta.size)
    }
}

/// Where a range of an object is stored.
struct Stored {
    at: Path,
    range: Range<u64>,
    /// Where the object ends at the earliest if it has the range.
    end_min: u64,
    /// Whether it may end before the range does, if it says so.
    may_end: bool,
}

/// Where a folder is.
fn at(sealer: Option<&Sealer>, folder: &str) -> String {
    sealer.map_or_else(|| folder.to_owned(), |sealer| sealer.folder(folder))
}

/// What comes the same wrong way twice is told by its digest, after the attempt to open it, from what comes in another
/// way each time.
fn not_sealed_so(path: &str, stored: &[u8]) -> StoreError {
    let digest = &blake3::hash(stored).to_hex()[..8];
    let why = format!(
        "its {} bytes ({digest}) are not what was sealed here",
        stored.len()
    );
    StoreError::damaged(path, why)
}
