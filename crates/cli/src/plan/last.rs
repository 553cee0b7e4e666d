//! The snapshot that the next job would restore, as far as that can be told without starting one.

use std::time::Duration;

use larder_engine::program;
use larder_model::address::{self, Kind};
use larder_model::digest::SnapshotId;
use larder_model::ladder::{Rung, ladder};
use larder_model::lineage::Lineage;
use larder_model::snapshot::Snapshot;
use larder_store::{Location, Objects, StoreError, catalog};
use serde::Serialize;

use super::record::Record;
use crate::session::facts::now_ms;
use crate::settings::Settings;

/// A plan is worth having without the store.
const STORE_LIMIT: Duration = Duration::from_secs(10);
/// Kinds of engines that one project has.
const COMPATIBILITIES_MAX: usize = 32;

/// The last snapshot.
#[derive(Debug, Serialize)]
pub struct Last {
    /// Its id.
    pub snapshot: SnapshotId,
    /// Its line.
    pub lineage: Lineage,
    /// How old it is.
    pub age_ms: u64,
    /// What its job's builds depended on.
    #[serde(skip)]
    pub record: Option<Record>,
}

/// Finds it. Offline, only a store that is a folder is looked at, and the machine's engine is not
/// asked for its version: any engine's snapshot counts then, as on a machine without an engine.
pub async fn find(settings: &Settings, offline: bool) -> Result<Option<Last>, String> {
    if offline && !settings.store.starts_with("file:") {
        return Ok(None);
    }
    let location = Location::parse(&settings.store).map_err(|error| error.to_string())?;
    // Looking makes no folder.
    if location.as_folder().is_some_and(|folder| !folder.exists()) {
        return Ok(None);
    }
    let search = async {
        let objects = settings.open_store().map_err(|failure| failure.message)?;
        let compatibilities = match own_compatibility(settings, offline).await {
            Some(own) => vec![own],
            None => all_compatibilities(settings, &objects)
                .await
                .map_err(|error| error.to_string())?,
        };
        newest(settings, &objects, &compatibilities)
            .await
            .map_err(|error| error.to_string())
    };
    let limit = format!("it did not answer within {} s", STORE_LIMIT.as_secs());
    let found = tokio::time::timeout(STORE_LIMIT, search).await;
    found
        .unwrap_or(Err(limit))
        .map_err(|why| format!("the store {} cannot be read: {why}", settings.store))
}

/// What this machine's engine can restore.
async fn own_compatibility(settings: &Settings, offline: bool) -> Option<String> {
    if offline {
        return None;
    }
    let path = settings.path.clone();
    let probed = tokio::task::spawn_blocking(move || program::probe(&path)).await;
    // Planning is for machines without an engine too.
    let program = probed.expect("probing does not panic").ok()?;
    let store = settings.image_store(&program);
    Some(program.compatibility(store))
}

async fn all_compatibilities(
    settings: &Settings,
    objects: &Objects,
) -> Result<Vec<String>, StoreError> {
    let project = address::project(Kind::Snapshot, &settings.project);
    objects.folders(&project, COMPATIBILITIES_MAX).await
}

/// The newest snapshot on the first rung that has one, whatever the engine.
async fn newest(
    settings: &Settings,
    objects: &Objects,
    compatibilities: &[String],
) -> Result<Option<Last>, StoreError> {
    let ladders: Vec<Vec<Rung>> = compatibilities
        .iter()
        .map(|compatibility| ladder(&settings.lineage(compatibility), &settings.fallback))
        .collect();
    let rungs = ladders.first().map_or(0, Vec::len);
    for rung in 0..rungs {
        let mut candidates = Vec::new();
        for ladder in &ladders {
            candidates.extend(catalog::candidates::<Snapshot>(objects, &ladder[rung]).await?);
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.created_ms));
        for candidate in candidates {
            if catalog::is_broken(objects, candidate.id).await? {
                continue;
            }
            // Another job may have removed it since; the next one is as good.
            let Ok(found) = catalog::read(objects, &candidate).await else {
                continue;
            };
            return Ok(Some(Last {
                snapshot: found.id,
                age_ms: now_ms().saturating_sub(found.document.created_ms),
                record: Record::of(&found.document),
                lineage: found.document.lineage,
            }));
        }
    }
    Ok(None)
}
