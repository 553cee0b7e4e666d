//! What a store allows, tried on an object of our own.

use std::fmt;

use bytes::Bytes;
use larder_local::clock::{ms_since, now_ms};
use larder_model::address;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStoreExt as _, PutPayload};
use serde::Serialize;
use tokio::time::Instant;

use super::Objects;
use crate::error::StoreError;
use crate::request::{Names, collect};

/// Large enough to tell a slow line, small enough for one.
const PROBE_BYTES: usize = 1 << 20;
/// The range that is read of it.
const RANGE: std::ops::Range<u64> = 4096..8192;
/// A probe that is older was left by a process that was killed.
const LEFT_AFTER_MS: u64 = 24 * 60 * 60 * 1000;

/// Something that jobs or collections do with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// Finding documents.
    List,
    /// Storing.
    Write,
    /// Storing only what is not there yet.
    ConditionalWrite,
    /// Reading objects.
    Read,
    /// Reading parts of them.
    Range,
    /// Collecting garbage.
    Delete,
}

impl Ability {
    /// Whether nothing is restored without it. Saving needs `Write` besides, which jobs of untrusted authors had
    /// better not have.
    pub fn is_needed_to_restore(self) -> bool {
        matches!(self, Self::List | Self::Read | Self::Range)
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "list",
            Self::Write => "write",
            Self::ConditionalWrite => "write only what is new",
            Self::Read => "read",
            Self::Range => "read ranges",
            Self::Delete => "delete",
        })
    }
}

/// An ability that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// Which.
    pub ability: Ability,
    /// How long it took.
    pub ms: u64,
    /// Why the store has it not, or refuses it.
    pub why: Option<String>,
}

impl Objects {
    /// Tries what jobs and collections do, on an object whose name no other machine uses now, and removes that
    /// again. What cannot be tried, because nothing can be written, is left out.
    pub async fn probe(&self, name: &str) -> Vec<Tried> {
        let folder = format!("{}/doctor", address::FORMAT);
        let probe = Probe {
            objects: self,
            path: format!("{folder}/{name}"),
            content: content(name),
        };
        let begun = Instant::now();
        let entries = self.entries(&folder).await;
        let left = entries.iter().flatten();
        let left = left.filter(|entry| entry.modified_ms + LEFT_AFTER_MS < now_ms());
        let own = [probe.path.clone()].into_iter();
        let gone: Vec<String> = own.chain(left.map(|entry| entry.path.clone())).collect();
        let mut tried = vec![told(Ability::List, begun, entries)];
        let begun = Instant::now();
        let written = probe.write().await;
        let is_there = written.is_ok();
        tried.push(told(Ability::Write, begun, written));
        if is_there {
            let begun = Instant::now();
            tried.push(told(
                Ability::ConditionalWrite,
                begun,
                probe.write_again().await,
            ));
        }
        let begun = Instant::now();
        tried.push(told(Ability::Read, begun, probe.read(is_there).await));
        if is_there {
            let begun = Instant::now();
            tried.push(told(Ability::Range, begun, probe.read_range().await));
            let begun = Instant::now();
            tried.push(told(Ability::Delete, begun, self.delete(&gone).await));
        }
        if let Names::Folder(root) = &self.names {
            // What cannot be removed is not there, or holds the probe of another doctor.
            let _ = std::fs::remove_dir(root.join(folder));
        }
        tried
    }
}

fn told<T, E: fmt::Display>(ability: Ability, begun: Instant, outcome: Result<T, E>) -> Tried {
    Tried {
        ability,
        ms: ms_since(begun.into_std()),
        why: outcome.err().map(|error| error.to_string()),
    }
}

/// Bytes that no line makes shorter, and no two probes share.
fn content(name: &str) -> Bytes {
    let mut bytes = vec![0; PROBE_BYTES];
    blake3::Hasher::new()
        .update(name.as_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes.into()
}

struct Probe<'a> {
    objects: &'a Objects,
    path: String,
    content: Bytes,
}

impl Probe<'_> {
    fn payload(&self) -> PutPayload {
        self.content.clone().into()
    }

    async fn write(&self) -> Result<(), StoreError> {
        let at = &Path::from(&*self.path);
        let payload = &self.payload();
        self.ask("write", || async move {
            self.objects.store.put(at, payload.clone()).await
        })
        .await
        .map(drop)
    }

    /// What is there must be seen by a write of what is new.
    async fn write_again(&self) -> Result<(), String> {
        let at = Path::from(&*self.path);
        match self.objects.create(&at, &self.payload()).await {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Ok(_) => Err("it wrote over what is there".to_owned()),
            Err(error) => {
                Err(StoreError::from_object_store("write", &self.path, &error).to_string())
            }
        }
    }

    /// Of an object that could not be written, it is seen whether the store lets us look.
    async fn read(&self, is_there: bool) -> Result<(), StoreError> {
        match self.objects.get(&self.path, PROBE_BYTES).await {
            Ok(bytes) if bytes == self.content => Ok(()),
            Ok(_) => Err(self.wrong()),
            Err(StoreError::Missing { .. }) if !is_there => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn read_range(&self) -> Result<(), StoreError> {
        let at = &Path::from(&*self.path);
        let length = (RANGE.end - RANGE.start) as usize;
        let read = self.ask("read a range of", || async move {
            let options = GetOptions::new().with_range(Some(RANGE));
            collect(self.objects.store.get_opts(at, options).await?, length).await
        });
        let expected = &self.content[RANGE.start as usize..RANGE.end as usize];
        match read.await? {
            Some(bytes) if bytes == expected => Ok(()),
            _ => Err(self.wrong()),
        }
    }

    fn wrong(&self) -> StoreError {
        StoreError::damaged(&self.path, "other bytes came than were written")
    }

    async fn ask<T, F>(&self, what: &'static str, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let patience = self.objects.patience();
        patience.ask(what, &self.path, attempt).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::Location;

    #[tokio::test]
    async fn a_folder_can_do_all_and_keeps_nothing_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Location::folder(folder.path()).open(&[]).expect("opens");
        let tried = objects.probe("a").await;
        assert_eq!(tried.len(), 6, "{tried:?}");
        assert!(tried.iter().all(|one| one.why.is_none()), "{tried:?}");
        let left = objects.entries("v1").await.expect("listed");
        assert_eq!(left, [], "{left:?}");
        assert!(!folder.path().join("v1/doctor").exists());
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_told_and_the_rest_is_tried() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let objects = Location::folder(&file.path().join("below")).open(&[]);
        let Ok(objects) = objects else { return };
        let tried = objects.probe("a").await;
        let written = tried.iter().find(|one| one.ability == Ability::Write);
        assert!(written.is_some_and(|one| one.why.is_some()), "{tried:?}");
        assert!(tried.len() < 6, "{tried:?}");
    }
}
