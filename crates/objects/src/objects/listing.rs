//! Listing objects with their sizes and times, and removing them.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path as Folder, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_model::sealed::plain_bytes;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::{Objects, at};
use crate::blocking::blocking;
use crate::error::StoreError;
use crate::request::Names;

/// Paths that one request removes, where the store can remove several.
const DELETED_TOGETHER: usize = 1_000;

/// An object, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the store.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When the store got it, by the store's own clock (Unix time in milliseconds).
    pub modified_ms: u64,
}

impl Entry {
    #[allow(clippy::needless_pass_by_value)] // as `map_ok` hands it over
    fn of(object: ObjectMeta) -> Self {
        Self {
            path: object.location.to_string(),
            bytes: object.size,
            modified_ms: object
                .last_modified
                .timestamp_millis()
                .max(0)
                .cast_unsigned(),
        }
    }
}

impl Objects {
    /// All objects anywhere below a folder, in no order; of a folder also what writers that were killed left
    /// there half-way. It costs a request for each 1,000.
    pub async fn entries(&self, folder: &str) -> Result<Vec<Entry>, StoreError> {
        let sealer = self.sealer().await?;
        let at = at(sealer.as_deref(), folder);
        let entries = self.stored_entries(folder, &at).await?;
        let Some(sealer) = sealer else {
            return Ok(entries);
        };
        let opened = entries.into_iter().filter_map(|entry| {
            Some(Entry {
                path: sealer.open_path(&entry.path)?,
                bytes: plain_bytes(entry.bytes),
                modified_ms: entry.modified_ms,
            })
        });
        Ok(opened.collect())
    }

    async fn stored_entries(&self, folder: &str, at: &str) -> Result<Vec<Entry>, StoreError> {
        if let Names::Folder(root) = &self.names {
            let (root, below) = (root.clone(), root.join(at));
            let found = blocking(move || {
                let mut found = Vec::new();
                walk(&root, &below, &mut found).map(|()| found)
            })
            .await;
            return found.map_err(|error| failed("list", folder, &error));
        }
        let at = &Path::from(at);
        let listed = self.patience.ask("list", folder, || async move {
            let objects = self.store.list(Some(at));
            objects.map_ok(Entry::of).try_collect().await
        });
        match listed.await {
            Err(StoreError::Missing { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Removes objects, 1,000 with a request where the store can do that. Those that are gone already are
    /// fine.
    pub async fn delete(&self, paths: &[String]) -> Result<(), StoreError> {
        let sealer = self.sealer().await?;
        let stored = paths.iter().map(|path| match &sealer {
            None => path.clone(),
            Some(sealer) => sealer.object(path),
        });
        let stored: Vec<String> = stored.collect();
        if let Names::Folder(root) = &self.names {
            let files: Vec<PathBuf> = stored.iter().map(|path| root.join(path)).collect();
            let removed = blocking(move || files.iter().try_for_each(remove)).await;
            return removed.map_err(|error| failed("remove", &paths.join(", "), &error));
        }
        let chunks = stored.chunks(DELETED_TOGETHER);
        for (stored, paths) in chunks.zip(paths.chunks(DELETED_TOGETHER)) {
            let first = paths.first().map_or("", String::as_str);
            let removed = self
                .patience
                .ask("remove", first, || self.delete_some(stored));
            removed.await?;
        }
        Ok(())
    }

    async fn delete_some(&self, paths: &[String]) -> object_store::Result<()> {
        let parsed: Vec<_> = paths.iter().map(|path| Ok(Path::from(&**path))).collect();
        let removed = self
            .store
            .delete_stream(futures_util::stream::iter(parsed).boxed());
        let removed: Vec<_> = removed.collect().await;
        for result in removed {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes the folders that have held nothing for some time: a store that is a folder keeps them when
    /// their last object goes. Whoever writes makes them again.
    pub async fn remove_empty_folders(&self, folder: &str, unused_for: Duration) {
        let Names::Folder(root) = &self.names else {
            return;
        };
        let Ok(sealer) = self.sealer().await else {
            return;
        };
        let folder = root.join(at(sealer.as_deref(), folder));
        blocking(move || remove_empty(&folder, unused_for)).await;
    }
}

fn failed(what: &'static str, path: &str, error: &io::Error) -> StoreError {
    StoreError::Failed {
        what,
        path: path.to_owned(),
        why: error.to_string(),
    }
}

/// What is asked for may be removed meanwhile.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn walk(root: &Folder, folder: &Folder, found: &mut Vec<Entry>) -> io::Result<()> {
    let Some(entries) = unless_gone(fs::read_dir(folder))? else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let Some(metadata) = unless_gone(fs::metadata(&path))? else {
            continue;
        };
        if metadata.is_dir() {
            walk(root, &path, found)?;
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Folder::to_str) {
            found.push(Entry {
                path: name.to_owned(),
                bytes: metadata.len(),
                modified_ms: modified_ms(&metadata),
            });
        }
    }
    Ok(())
}

fn modified_ms(metadata: &Metadata) -> u64 {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

fn remove(file: &PathBuf) -> io::Result<()> {
    unless_gone(fs::remove_file(file)).map(drop)
}

/// Goes through the folders of a store: `v1/packs/3f` and alike. What cannot be removed holds something.
fn remove_empty(folder: &Folder, unused_for: Duration) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() || path.is_symlink() {
            continue;
        }
        remove_empty(&path, unused_for);
        let modified = path.metadata().and_then(|metadata| metadata.modified());
        let since = modified
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        if since.is_some_and(|since| since >= unused_for) && fs::remove_dir(&path).is_ok() {
            tracing::debug!(folder = %path.display(), "removed, empty");
        }
    }
}
