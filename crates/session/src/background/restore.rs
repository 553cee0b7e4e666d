//! Choosing what a job starts from: the newest snapshot on the ladder that can be opened.

use std::sync::Arc;

use larder_engine::program::EngineProgram;
use larder_local::people::Voice;
use larder_model::compatibility;
use larder_model::ladder::Rung;
use larder_model::snapshot::Snapshot;
use larder_model::version::Version;
use larder_store::catalog::{Found, Refusal, Walk};
use larder_store::{Objects, Source};

/// A snapshot, opened.
pub(crate) struct Restorable {
    pub(crate) found: Found,
    /// Its volume.
    pub(crate) source: Arc<Source>,
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
    let snapshot = &found.document;
    let source = Source::open(objects.clone(), snapshot.map, snapshot.hot).await?;
    Ok(Restorable {
        source: Arc::new(source),
        found,
    })
}

fn engine_rule(snapshot: &Snapshot, program: &EngineProgram) -> Option<String> {
    match snapshot.engine.version.parse::<Version>() {
        Ok(recorded) => compatibility::refusal(recorded, program.version),
        Err(error) => Some(error.to_string()),
    }
}
