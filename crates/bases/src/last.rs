//! The snapshot that the next job would restore, as far as that can be told without starting one.

use std::time::Duration;

use larder_local::clock::now_ms;
use larder_model::address::{self, Kind};
use larder_model::digest::SnapshotId;
use larder_model::ladder::Rung;
use larder_model::lineage::Lineage;
use larder_model::snapshot::Snapshot;
use larder_store::{Objects, StoreError, catalog};
use serde::Serialize;

use crate::Project;
use crate::record::Record;

/// How long the store may take. A plan is worth having without it.
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

/// Why the last snapshot is not known.
#[derive(Debug, thiserror::Error)]
pub enum LastError {
    /// The store cannot be opened or read.
    #[error("the store {store} cannot be read: {source}")]
    Store {
        /// Its URL.
        store: String,
        /// Why.
        source: StoreError,
    },
    /// The store is too slow.
    #[error("the store {store} cannot be read: it did not answer within {} s", STORE_LIMIT.as_secs())]
    Slow {
        /// Its URL.
        store: String,
    },
}

impl Last {
    /// Finds the newest snapshot that an engine of this compatibility can restore. Without a compatibility,
    /// as on a machine without an engine, any engine's snapshot counts.
    pub async fn find(
        project: &Project,
        compatibility: Option<String>,
    ) -> Result<Option<Self>, LastError> {
        let folder = project.store.location().as_folder();
        // Opening such a store would make the directory.
        if folder.is_some_and(|folder| !folder.exists()) {
            return Ok(None);
        }
        let search = async {
            let objects = project.store.open()?;
            let compatibilities = match compatibility {
                Some(own) => vec![own],
                None => all_compatibilities(project, &objects).await?,
            };
            newest(project, &objects, &compatibilities).await
        };
        let store = project.store.to_string();
        match tokio::time::timeout(STORE_LIMIT, search).await {
            Ok(found) => found.map_err(|source| LastError::Store { store, source }),
            Err(_) => Err(LastError::Slow { store }),
        }
    }
}

async fn all_compatibilities(
    project: &Project,
    objects: &Objects,
) -> Result<Vec<String>, StoreError> {
    let folder = address::project(Kind::Snapshot, &project.descent.project);
    objects.folders(&folder, COMPATIBILITIES_MAX).await
}

/// The newest snapshot on the first rung that has one, whatever the engine.
async fn newest(
    project: &Project,
    objects: &Objects,
    compatibilities: &[String],
) -> Result<Option<Last>, StoreError> {
    let ladders: Vec<Vec<Rung>> = compatibilities
        .iter()
        .map(|compatibility| project.descent.ladder(compatibility))
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
