//! Choosing what a job starts from: the newest snapshot on the ladder that can be opened.

use std::sync::Arc;

use larder_engine::program::EngineProgram;
use larder_local::people::Voice;
use larder_model::address;
use larder_model::compatibility;
use larder_model::hot;
use larder_model::ladder::Rung;
use larder_model::limits::{BLOCK_BYTES, HOT_LIST_MAX_BYTES};
use larder_model::snapshot::Snapshot;
use larder_model::version::Version;
use larder_store::catalog::{Found, Refusal, Walk};
use larder_store::{Objects, Source};

/// A snapshot, opened.
pub(crate) struct Restorable {
    pub(crate) found: Found,
    /// Its volume.
    pub(crate) source: Arc<Source>,
    /// What its job read, in order.
    pub(crate) hot: Vec<u64>,
}

/// Walks the ladder. Each snapshot that cannot be used is a warning.
pub(crate) async fn find(
    objects: &Objects,
    ladder: Vec<Rung>,
    program: &EngineProgram,
    voice: &dyn Voice,
) -> Option<Restorable> {
    let walked = Walk::new(objects, ladder)
        .first(|found| open(objects, found, program))
        .await;
    for refused in &walked.refused {
        let id = refused.id.short();
        voice.warning(&format!("snapshot {id} is left out: {}", refused.why));
    }
    walked.outcome.unwrap_or_else(|error| {
        voice.warning(&format!(
            "starting empty, the store cannot be read: {error}"
        ));
        None
    })
}

async fn open(
    objects: &Objects,
    found: Found,
    program: &EngineProgram,
) -> Result<Restorable, Refusal> {
    if let Some(why) = engine_rule(&found.document, program) {
        return Err(Refusal::Unfit(why));
    }
    let map = Source::open(objects.clone(), found.document.map);
    let (source, hot) = tokio::join!(map, read_hot(objects, &found.document));
    Ok(Restorable {
        source: Arc::new(source?),
        hot,
        found,
    })
}

fn engine_rule(snapshot: &Snapshot, program: &EngineProgram) -> Option<String> {
    match snapshot.engine.version.parse::<Version>() {
        Ok(recorded) => compatibility::refusal(recorded, program.version),
        Err(error) => Some(error.to_string()),
    }
}

/// A hot list only makes things faster: one that cannot be read is as good as none.
async fn read_hot(objects: &Objects, snapshot: &Snapshot) -> Vec<u64> {
    let Some(id) = snapshot.hot else {
        return Vec::new();
    };
    let blocks = snapshot.volume_bytes / BLOCK_BYTES as u64;
    let bytes = objects.get(&address::hot(id), HOT_LIST_MAX_BYTES).await;
    let list = bytes.map_err(|error| error.to_string());
    let list = list.and_then(|it| hot::decode(&it, blocks).map_err(|error| error.to_string()));
    list.unwrap_or_else(|error| {
        tracing::warn!(%error, "no hot list");
        Vec::new()
    })
}
