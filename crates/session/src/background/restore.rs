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
use larder_store::catalog::{Found, Reader, Refusal, Walk};
use larder_store::{Objects, Source};

use crate::facts::Lost;

/// A snapshot, opened.
pub(crate) struct Restorable {
    pub(crate) found: Found,
    /// Its volume.
    pub(crate) source: Arc<Source>,
    /// What its job read, in order.
    pub(crate) hot: Vec<u64>,
}

/// What came of looking for a snapshot.
#[derive(Default)]
pub(crate) struct Search {
    pub(crate) found: Option<Restorable>,
    /// Why a snapshot that is there could not be read, although it may be whole.
    pub(crate) trouble: Option<String>,
}

impl Search {
    /// Nothing is looked for after a session whose disk failed. A snapshot that is damaged is lost for all; a store
    /// that was away may hold what others can use.
    pub(crate) fn instead_of(lost: &Lost) -> Self {
        Self {
            found: None,
            trouble: (!lost.damage).then(|| lost.why.clone()),
        }
    }
}

/// Walks the ladder. Each snapshot that cannot be used is a warning.
pub(crate) async fn find(
    objects: &Objects,
    ladder: Vec<Rung>,
    reader: &Reader,
    program: &EngineProgram,
    voice: &dyn Voice,
) -> Search {
    let walked = Walk::new(objects, ladder, reader)
        .first(|found| open(objects, found, program))
        .await;
    let mut trouble = None;
    for refused in &walked.refused {
        let id = refused.id.short();
        voice.warning(&format!("snapshot {id} is left out: {}", refused.why));
        if let Refusal::Store(error) = &refused.why
            && error.may_pass()
        {
            trouble = Some(error.to_string());
        }
    }
    let found = walked.outcome.unwrap_or_else(|error| {
        voice.warning(&format!(
            "starting empty, the store cannot be read: {error}"
        ));
        trouble = Some(error.to_string());
        None
    });
    Search { found, trouble }
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
