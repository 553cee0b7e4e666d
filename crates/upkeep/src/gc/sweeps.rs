//! The store's time, and what a collection says before it removes anything. `larder_store`'s
//! `catalog/sweeps.rs` is the other side: what a save does about it.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use larder_local::clock::now_ms;
use larder_model::address;
use larder_model::garbage::{Brief, Garbage};
use larder_model::limits::GARBAGE_MAX;
use larder_store::{Entry, Objects, StoreError};

/// A collection's own objects, and the store's time.
pub(super) struct Sweeps {
    /// When the collection began, by the store's clock.
    pub(super) now_ms: u64,
    grace: Duration,
    /// Where it stands what this one may remove.
    own: Vec<String>,
    announced: Instant,
    /// Those of others that nobody looks at any more.
    stale: Vec<String>,
    /// Those of others that were killed, and did not say that they are over.
    died: Vec<String>,
}

impl Sweeps {
    /// Asks the store what time it is, by writing an object: it says, too, that a collection was here.
    pub(super) async fn begin(
        objects: &Objects,
        grace: Duration,
        dry_run: bool,
    ) -> Result<Self, StoreError> {
        let mut sweeps = Self {
            now_ms: now_ms(),
            grace,
            own: Vec::new(),
            announced: Instant::now(),
            stale: Vec::new(),
            died: Vec::new(),
        };
        if dry_run {
            return Ok(sweeps);
        }
        let (path, bytes) = list(&[]);
        let path = address::done(&path);
        objects.put(&path, bytes).await?;
        let listed = objects.entries(&address::sweeps()).await?;
        let own = listed.iter().find(|entry| entry.path == path);
        let own = own.ok_or(StoreError::Missing { path })?;
        sweeps.now_ms = own.modified_ms;
        sweeps.sort(&listed, &own.path);
        Ok(sweeps)
    }

    /// What is to be done about the sweeps of others.
    fn sort(&mut self, listed: &[Entry], own: &str) {
        let names: HashSet<&str> = listed.iter().map(|entry| &*entry.path).collect();
        let grace_ms = self.grace.as_millis() as u64;
        for Entry {
            path, modified_ms, ..
        } in listed.iter().filter(|entry| entry.path != own)
        {
            let age_ms = self.age_ms(*modified_ms);
            let is_over = address::is_done(path) || names.contains(&*address::done(path));
            if age_ms >= grace_ms {
                self.stale.push(path.clone());
            } else if !is_over && age_ms >= grace_ms / 2 && !path.contains('#') {
                self.died.push(path.clone());
            }
        }
    }

    /// How long the store has had something.
    pub(super) fn age_ms(&self, modified_ms: u64) -> u64 {
        self.now_ms.saturating_sub(modified_ms)
    }

    /// Whether the store has had something for the grace.
    pub(super) fn is_past_grace(&self, modified_ms: u64) -> bool {
        u128::from(self.age_ms(modified_ms)) >= self.grace.as_millis()
    }

    /// Says what may be removed from now on.
    pub(super) async fn announce(
        &mut self,
        objects: &Objects,
        may_go: &[Brief],
    ) -> Result<(), StoreError> {
        self.announced = Instant::now();
        for part in may_go.chunks(GARBAGE_MAX) {
            let (path, bytes) = list(part);
            objects.put(&path, bytes).await?;
            self.own.push(path);
        }
        Ok(())
    }

    /// Whether something may still be removed. What was said stands there for the grace, and a save looks for
    /// it within half of that; without a grace there are no saves. By the clock that nobody sets.
    pub(super) fn is_in_time(&self) -> bool {
        self.grace.is_zero() || self.announced.elapsed() < self.grace / 4
    }

    /// Says that nothing is removed any more.
    pub(super) async fn end(&self, objects: &Objects) -> Result<(), StoreError> {
        for sweep in self.own.iter().chain(&self.died) {
            objects.put(&address::done(sweep), Vec::new()).await?;
        }
        objects.delete(&self.stale).await
    }
}

/// A new list of what may be removed, and its path.
fn list(may_go: &[Brief]) -> (String, Vec<u8>) {
    let list: Garbage = may_go.iter().copied().collect();
    let (id, bytes) = list.encode(RandomState::new().build_hasher().finish());
    (address::sweep(now_ms(), id), bytes)
}

/// How long ago a collection began, by this machine's clock; nothing if none is known.
pub(super) async fn last_ms(objects: &Objects) -> Result<Option<u64>, StoreError> {
    let entries = objects.entries(&address::sweeps()).await?;
    let last = entries.iter().map(|entry| entry.modified_ms).max();
    Ok(last.map(|last| now_ms().saturating_sub(last)))
}
