//! Choosing what a job starts from: the newest snapshot on the ladder that can be opened.

use std::sync::Arc;

use larder_docker::Version;
use larder_engine::compatibility::{Continuation, continuation};
use larder_engine::program::EngineProgram;
use larder_model::address;
use larder_model::digest::SnapshotId;
use larder_model::hot;
use larder_model::ladder::ladder;
use larder_model::limits::HOT_LIST_MAX_BYTES;
use larder_model::lineage::Lineage;
use larder_model::snapshot::Snapshot;
use larder_store::catalog::{self, Candidate, Found};
use larder_store::{Objects, Source, StoreError};

/// A snapshot, opened.
pub struct Restorable {
    /// The snapshot.
    pub found: Found,
    /// Its volume.
    pub source: Arc<Source>,
    /// What its job read, in order.
    pub hot: Vec<u64>,
}

/// Walks the ladder. Everything that is in the way of a snapshot becomes a warning.
pub async fn find(
    objects: &Objects,
    own: &Lineage,
    fallback: &[String],
    program: &EngineProgram,
    warnings: &mut Vec<String>,
) -> Option<Restorable> {
    for rung in ladder(own, fallback) {
        let candidates = match catalog::candidates(objects, &rung).await {
            Ok(candidates) => candidates,
            Err(error) => {
                // The store itself does not answer: the other rungs would only wait as long again.
                warnings.push(format!("starting empty, the store cannot be read: {error}"));
                return None;
            }
        };
        for candidate in candidates {
            match open(objects, &candidate, program).await {
                Ok(restorable) => return Some(restorable),
                Err(Refusal::Marked) => {}
                Err(Refusal::Engine(why)) => {
                    warnings.push(format!(
                        "snapshot {} is left out: {why}",
                        candidate.id.short()
                    ));
                }
                Err(Refusal::Store(error)) => {
                    warnings.push(format!(
                        "snapshot {} is left out: {error}",
                        candidate.id.short()
                    ));
                    if error.is_damage() {
                        mark(objects, candidate.id, &error.to_string()).await;
                    }
                }
            }
        }
    }
    None
}

enum Refusal {
    Marked,
    Engine(String),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn open(
    objects: &Objects,
    candidate: &Candidate,
    program: &EngineProgram,
) -> Result<Restorable, Refusal> {
    let marked = catalog::is_broken(objects, candidate.id);
    let (marked, found) = tokio::join!(marked, catalog::read(objects, candidate));
    if marked? {
        return Err(Refusal::Marked);
    }
    let found = found?;
    if let Continuation::ColdBecause(why) = engine_rule(&found.document, program) {
        return Err(Refusal::Engine(why));
    }
    let map = Source::open(objects.clone(), found.document.map);
    let (source, hot) = tokio::join!(map, read_hot(objects, &found.document));
    Ok(Restorable {
        source: Arc::new(source?),
        hot,
        found,
    })
}

fn engine_rule(snapshot: &Snapshot, program: &EngineProgram) -> Continuation {
    match snapshot.engine.version.parse::<Version>() {
        Ok(recorded) => continuation(recorded, program.version),
        Err(error) => Continuation::ColdBecause(error.to_string()),
    }
}

/// A hot list only makes things faster: one that cannot be read is as good as none.
async fn read_hot(objects: &Objects, snapshot: &Snapshot) -> Vec<u64> {
    let Some(id) = snapshot.hot else {
        return Vec::new();
    };
    let blocks = snapshot.volume_bytes / larder_model::limits::BLOCK_BYTES as u64;
    let bytes = objects.get(&address::hot(id), HOT_LIST_MAX_BYTES).await;
    let list = bytes
        .map_err(|error| error.to_string())
        .and_then(|bytes| hot::decode(&bytes, blocks).map_err(|error| error.to_string()));
    list.unwrap_or_else(|error| {
        tracing::warn!(%error, "no hot list");
        Vec::new()
    })
}

/// Marks a snapshot so that no other job tries it. A store that cannot be written to stays as it is.
pub async fn mark(objects: &Objects, id: SnapshotId, why: &str) {
    if let Err(error) = catalog::mark_broken(objects, id, why).await {
        tracing::warn!(%error, snapshot = %id, "not marked as broken");
    }
}
