//! Stores that are to stay small: a directory that a CI system saves and restores as a whole, and a cache that counts
//! its bytes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use larder_github::GitHub;
use rustix::fs::{FlockOperation, flock};

use super::Objects;
use crate::error::StoreError;
use crate::request::Names;

/// How much of a pack must still be named, in percent, where a whole store is carried to and fro: what is not is
/// carried for nothing. What is above it keeps a store within 1.2 times of what it must hold.
const SINGLE_LEAST_PERCENT: u64 = 84;
/// The same where what is stored anew must be fetched first.
const GITHUB_LEAST_PERCENT: u64 = 50;

impl Objects {
    /// A store in GitHub's cache.
    pub(crate) fn in_github(store: GitHub) -> Self {
        let names = Names::Bucket(Arc::new(store.clone()), String::new());
        Self {
            least_live_percent: Some(GITHUB_LEAST_PERCENT),
            github: Some(store.clone()),
            ..Self::new(Arc::new(store), "", names)
        }
    }

    /// Whether it must be told what a document names, before the document is written: see [`Objects::settle`].
    pub fn is_told_names(&self) -> bool {
        self.github.is_some()
    }

    /// Says what the document names that is written next, and stores all of it for good.
    pub async fn settle(&self, names: &BTreeSet<String>) -> Result<(), StoreError> {
        let Some(store) = &self.github else {
            return Ok(());
        };
        self.patience
            .ask("write", "what a document names", || store.settle(names))
            .await
    }

    /// The same of a directory that holds just what the newest documents need.
    pub(crate) fn into_single(self, folder: &Path) -> io::Result<Self> {
        let lock = File::open(folder)?;
        // Where nobody can lock, there is nobody else: the directory of a job that a CI system has restored.
        let locked = flock(&lock, FlockOperation::LockShared);
        tracing::debug!(?locked, "the store is in use");
        Ok(Self {
            least_live_percent: Some(SINGLE_LEAST_PERCENT),
            single: Some(Arc::new(lock)),
            ..self
        })
    }

    /// Whether anybody collects garbage in it.
    pub fn is_collected(&self) -> bool {
        self.github.is_none()
    }

    /// Whether nothing but what the newest documents need is to be kept.
    pub fn is_single(&self) -> bool {
        self.single.is_some()
    }

    /// How much of a pack must still be named, in percent; what is left of others is stored anew by the next save.
    pub fn least_live_percent(&self) -> Option<u64> {
        self.least_live_percent
    }

    /// Does something while nobody else uses the store; nothing if somebody does.
    pub async fn alone<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let lock = self.single.as_ref()?;
        if let Err(error) = flock(lock, FlockOperation::NonBlockingLockExclusive) {
            // A lock that could not be had anew may be lost; nothing else depends on it.
            let again = flock(lock, FlockOperation::NonBlockingLockShared);
            tracing::info!(%error, ?again, "others use the store");
            return None;
        }
        let done = work.await;
        let shared = flock(lock, FlockOperation::LockShared);
        tracing::debug!(?shared, "the store is in use");
        Some(done)
    }
}
