//! Saving beside a collection.
//!
//! A collection says what it may remove before it looks at what is named: a list in `sweeps`, which it leaves
//! there long after. It removes nothing that the store has got of late. So what a save has put into the store
//! before such a list appeared stays; what it has put there since may be removed from under it, if it is just
//! what the list names. A save looks for that once, between its last object and its document.

use std::collections::HashSet;
use std::time::Duration;

use larder_model::address;
use larder_model::garbage::{GARBAGE_MAX_BYTES, Garbage};
use larder_model::retention::REUSE_MS;
use tokio::time::sleep;

use larder_objects::{Objects, StoreError};

/// Lists that are looked at: a page. Each is there for a day.
const LISTS_MAX: usize = 1_000;
/// How long a collection is waited for that is about to remove what was just stored, and how often it is
/// looked at.
const WAIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// Returns once nothing removes what this process has stored; an error if something of it is gone, or if a
/// collection takes too long.
pub(super) async fn outlast(objects: &Objects) -> Result<(), StoreError> {
    if !objects.is_collected() {
        return Ok(());
    }
    for _ in 0..=WAIT.as_millis() / LOOK.as_millis() {
        let (doubtful, all_done) = doubtful(objects).await?;
        let Some(first) = doubtful.first() else {
            return Ok(());
        };
        if all_done {
            return check(objects, &doubtful).await;
        }
        tracing::info!(
            first,
            "a collection may remove what was just stored; waiting"
        );
        sleep(LOOK).await;
    }
    let path = address::sweeps();
    Err(StoreError::Collected { path })
}

/// Whether what a document names stays for as long as it takes to publish: the document is there, or went so shortly
/// before `own` was put, which this process has just done, that it still holds it.
pub async fn holds(objects: &Objects, document: &str, own: &str) -> Result<bool, StoreError> {
    if objects.size(document).await.is_some() {
        return Ok(true);
    }
    let retired = address::retired(document);
    let (went_ms, now_ms) =
        tokio::try_join!(modified_ms(objects, &retired), modified_ms(objects, own))?;
    let ages = went_ms.zip(now_ms);
    Ok(ages.is_some_and(|(went_ms, now_ms)| now_ms.saturating_sub(went_ms) < REUSE_MS))
}

/// When the store got an object.
async fn modified_ms(objects: &Objects, path: &str) -> Result<Option<u64>, StoreError> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let entries = objects.entries(folder).await?;
    let found = entries.iter().find(|entry| entry.path == path);
    Ok(found.map(|entry| entry.modified_ms))
}

/// What this process has stored and a list names, and whether the collections that wrote these lists are
/// over.
async fn doubtful(objects: &Objects) -> Result<(Vec<String>, bool), StoreError> {
    let folder = address::sweeps();
    let listed = objects.first_names(&folder, "", LISTS_MAX).await?;
    let all: HashSet<&str> = listed.iter().map(String::as_str).collect();
    let (mut doubtful, mut all_done) = (Vec::new(), true);
    for name in listed.iter().filter(|name| !address::is_done(name)) {
        let list = read(objects, &format!("{folder}/{name}")).await?;
        let named = match &list {
            Listed::Gone => Vec::new(),
            Listed::Names(list) => objects.written(|brief| list.names(brief)),
            Listed::Unreadable => objects.written(|_| true),
        };
        all_done &= named.is_empty() || all.contains(&*address::done(name));
        doubtful.extend(named);
    }
    Ok((doubtful, all_done))
}

enum Listed {
    Names(Garbage),
    /// It may name anything.
    Unreadable,
    Gone,
}

async fn read(objects: &Objects, path: &str) -> Result<Listed, StoreError> {
    match objects.get(path, GARBAGE_MAX_BYTES).await {
        Ok(bytes) => Ok(Garbage::decode(&bytes).map_or(Listed::Unreadable, Listed::Names)),
        Err(StoreError::Missing { .. }) => Ok(Listed::Gone),
        Err(error) if error.is_damage() => Ok(Listed::Unreadable),
        Err(error) => Err(error),
    }
}

async fn check(objects: &Objects, paths: &[String]) -> Result<(), StoreError> {
    for path in paths {
        if objects.size(path).await.is_none() {
            let path = path.clone();
            return Err(StoreError::Collected { path });
        }
    }
    Ok(())
}
