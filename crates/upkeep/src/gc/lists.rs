//! The lists of a collection: what earlier ones found unnamed, what this one may remove, and what it found.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use larder_local::clock::now_ms;
use larder_model::address;
use larder_model::garbage::{Brief, GARBAGE_MAX_BYTES, Garbage};
use larder_model::limits::GARBAGE_MAX;
use larder_store::{Entry, Objects, StoreError};

/// How far this machine's clock may be wrong, where it only saves work.
const CLOCK_MS: u64 = 2 * 3_600_000;

/// Lists, and the store's time.
pub(super) struct Lists {
    /// Now, by the store's clock.
    pub(super) now_ms: u64,
    grace_ms: u64,
    dry_run: bool,
    /// Lists of what was unnamed once, of which those that are past the grace count.
    ripe: Vec<(String, Garbage)>,
    young: HashSet<Brief>,
    /// Where it stands what this one may remove.
    sweep: Option<String>,
    /// Lists of others that nobody needs any more.
    stale: Vec<String>,
    /// Sweeps of others that were killed, and did not say that they are over.
    died: Vec<String>,
}

impl Lists {
    /// Reads the lists and says what may be removed, before anything else is looked at.
    pub(super) async fn begin(objects: &Objects, grace: Duration, dry_run: bool) -> Result<Self, StoreError> {
        let grace_ms = grace.as_millis() as u64;
        let mut read = Vec::new();
        let mut entries = objects.entries(&address::garbage()).await?;
        entries.sort_by_key(|entry| entry.modified_ms);
        for entry in entries.into_iter().filter(|entry| !entry.path.contains('#')) {
            if let Some(list) = read_list(objects, &entry.path).await? {
                read.push((entry, list));
            }
        }
        let mut lists = Self {
            now_ms: now_ms(),
            grace_ms,
            dry_run,
            ripe: Vec::new(),
            young: HashSet::new(),
            sweep: None,
            stale: Vec::new(),
            died: Vec::new(),
        };
        let mut may_go: Vec<Brief> = Vec::new();
        let mut candidates = Vec::new();
        for (entry, list) in read {
            let could_be_ripe = lists.age_ms(entry.modified_ms) + CLOCK_MS >= grace_ms;
            if could_be_ripe && may_go.len() + list.iter().count() <= GARBAGE_MAX {
                may_go.extend(list.iter());
                candidates.push((entry, list));
            } else {
                lists.young.extend(list.iter());
            }
        }
        if !dry_run {
            lists.announce(objects, may_go.into_iter().collect()).await?;
        }
        for (entry, list) in candidates {
            if lists.age_ms(entry.modified_ms) >= grace_ms {
                lists.ripe.push((entry.path, list));
            } else {
                lists.young.extend(list.iter());
            }
        }
        Ok(lists)
    }

    /// Writes what may be removed. The time of that object is the store's own.
    async fn announce(&mut self, objects: &Objects, may_go: Garbage) -> Result<(), StoreError> {
        let folder = address::sweeps();
        let (id, bytes) = may_go.encode(RandomState::new().build_hasher().finish());
        let mut path = address::list_in(&folder, self.now_ms, id);
        if may_go.iter().next().is_none() {
            // Nobody has to look at it; it says that a collection was here.
            path = address::done(&path);
        } else {
            self.sweep = Some(path.clone());
        }
        objects.put(&path, bytes).await?;
        let sweeps = objects.entries(&folder).await?;
        let own = sweeps.iter().find(|entry| entry.path == path);
        let own = own.ok_or(StoreError::Missing { path })?;
        self.now_ms = own.modified_ms;
        self.sort(&sweeps, &own.path);
        Ok(())
    }

    /// What is to be done about the sweeps of others.
    fn sort(&mut self, sweeps: &[Entry], own: &str) {
        let names: HashSet<&str> = sweeps.iter().map(|entry| &*entry.path).collect();
        for Entry { path, modified_ms, .. } in sweeps.iter().filter(|entry| entry.path != own) {
            let age_ms = self.age_ms(*modified_ms);
            let is_over = path.ends_with(".done") || names.contains(&*address::done(path));
            if age_ms >= self.grace_ms {
                self.stale.push(path.clone());
            } else if !is_over && age_ms >= self.grace_ms / 2 && !path.contains('#') {
                self.died.push(path.clone());
            }
        }
    }

    /// How long the store has had something.
    pub(super) fn age_ms(&self, modified_ms: u64) -> u64 {
        self.now_ms.saturating_sub(modified_ms)
    }

    /// Whether an object was unnamed already when the grace began.
    pub(super) fn is_ripe(&self, object: Brief) -> bool {
        self.ripe.iter().any(|(_, list)| list.names(object))
    }

    /// Ends the collection: what is not named goes on a list, unless it is on one already. If all was removed
    /// that could be, the lists that said so go.
    pub(super) async fn end(&self, objects: &Objects, is_whole: bool, unnamed: Vec<Brief>) -> Result<(), StoreError> {
        if self.dry_run {
            return Ok(());
        }
        if is_whole {
            let new: Vec<Brief> = unnamed.into_iter().filter(|brief| !self.young.contains(brief)).collect();
            for part in new.chunks(GARBAGE_MAX) {
                let list: Garbage = part.iter().copied().collect();
                let (id, bytes) = list.encode(RandomState::new().build_hasher().finish());
                let path = address::list_in(&address::garbage(), now_ms(), id);
                objects.put(&path, bytes).await?;
            }
            let over: Vec<String> = self.ripe.iter().map(|(path, _)| path.clone()).collect();
            objects.delete(&over).await?;
        }
        for sweep in self.sweep.iter().chain(&self.died) {
            objects.put(&address::done(sweep), Vec::new()).await?;
        }
        objects.delete(&self.stale).await
    }
}

/// A list; nothing if it is gone, or is none: then what is in it is found again.
async fn read_list(objects: &Objects, path: &str) -> Result<Option<Garbage>, StoreError> {
    match objects.get(path, GARBAGE_MAX_BYTES).await {
        Ok(bytes) => Ok(Some(Garbage::decode(&bytes).unwrap_or_default())),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long ago a collection began, by this machine's clock; nothing if none is known.
pub(super) async fn last_ms(objects: &Objects) -> Result<Option<u64>, StoreError> {
    let entries = objects.entries(&address::sweeps()).await?;
    let last = entries.iter().map(|entry| entry.modified_ms).max();
    Ok(last.map(|last| now_ms().saturating_sub(last)))
}

