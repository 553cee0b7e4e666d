//! The snapshot that the next job would restore, as far as that can be told without starting one.

use std::future::ready;
use std::time::Duration;

use larder_builds::NamedPlan;
use larder_local::clock::now_ms;
use larder_model::address::{self, Kind};
use larder_model::digest::SnapshotId;
use larder_model::lineage::Lineage;
use larder_store::StoreError;
use larder_store::catalog::{Found, Walk};
use serde::Serialize;

use crate::Project;
use crate::record::Record;
use crate::siblings;

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
#[error("the store {store} cannot be read: {reason}")]
pub struct LastError {
    store: String,
    reason: String,
}

impl Last {
    /// Finds the snapshot from which a job with these plans starts with an engine of this compatibility. Without a compatibility,
    /// as on a machine without an engine, any engine's snapshot counts. It is awaited only where there is a store:
    /// to know it, programs are run that take the processor from whoever asks registries meanwhile.
    pub async fn find(
        project: &Project,
        compatibility: impl Future<Output = Option<String>>,
        plans: Option<Vec<NamedPlan>>,
    ) -> Result<Option<Self>, LastError> {
        let folder = project.store.location().as_folder();
        // Opening such a store would make the directory.
        if folder.is_some_and(|folder| !folder.exists()) {
            return Ok(None);
        }
        let compatibility = compatibility.await;
        let search = async {
            let objects = project.store.open()?;
            let compatibilities = if let Some(own) = compatibility {
                vec![own]
            } else {
                let folder = address::project(Kind::Snapshot, &project.descent.project);
                objects.folders(&folder, COMPATIBILITIES_MAX).await?
            };
            let each = compatibilities.iter();
            let ladders = each.map(|one| project.descent.ladder(one)).collect();
            let reader = project.reader();
            let walk = Walk::side_by_side(&objects, ladders, &reader);
            let walked = walk.clone().first(|found: Found| ready(Ok(found))).await;
            let Some(newest) = walked.outcome? else {
                return Ok(None);
            };
            let nearer = siblings::nearer(&objects, &newest, reader.now_ms, ready(plans));
            let Some(id) = nearer.await else {
                return Ok(Some(newest));
            };
            let other = walk.only(id).first(|found| ready(Ok(found))).await;
            Ok(other.outcome?.or(Some(newest)))
        };
        let limit = STORE_LIMIT.as_secs();
        let newest = match tokio::time::timeout(STORE_LIMIT, search).await {
            Ok(found) => found.map_err(|error: StoreError| error.to_string()),
            Err(_) => Err(format!("it did not answer within {limit} s")),
        };
        let store = project.store.to_string();
        let newest = newest.map_err(|reason| LastError { store, reason })?;
        Ok(newest.map(|found| Self {
            snapshot: found.id,
            age_ms: now_ms().saturating_sub(found.document.created_ms),
            record: found.document.plan.as_ref().and_then(Record::from_value),
            lineage: found.document.lineage,
        }))
    }
}
