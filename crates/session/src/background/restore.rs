//! Choosing what a job starts from: the newest snapshot on the ladder that can be opened.

use std::sync::Arc;

use larder_bases::siblings;
use larder_builds::NamedPlan;
use larder_local::people::Voice;
use larder_model::compatibility::{self, Family};
use larder_model::document::Document as _;
use larder_model::ladder::Rung;
use larder_model::snapshot::Snapshot;
use larder_model::version::Version;
use larder_store::catalog::{Found, Reader, Refusal, Walk};
use larder_store::{Objects, Source, StoreError};

use crate::lost::Lost;

/// A snapshot, opened.
pub(crate) struct Restorable {
    pub(crate) found: Found,
    /// Its volume.
    pub(crate) source: Arc<Source>,
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

/// Walks the ladder. Each snapshot that cannot be used is a warning. That of an engine must not be newer than
/// `engine`, of which family it is. Of siblings the one counts that is nearest to what the job builds. A store that our
/// key does not open is an error: nothing could be saved to it either.
pub(crate) async fn find(
    objects: &Objects,
    (ladder, engine, builds): (
        Vec<Rung>,
        Option<(Family, Version)>,
        impl Future<Output = Option<Vec<NamedPlan>>>,
    ),
    reader: &Reader,
    voice: &dyn Voice,
) -> Result<Search, StoreError> {
    let walk = Walk::new(objects, ladder, reader);
    let mut walked = walk
        .clone()
        .first(|found| open(objects, found, engine))
        .await;
    if let Ok(Some(newest)) = &walked.outcome {
        let nearer = siblings::nearer(objects, &newest.found, reader.now_ms, builds).await;
        if let Some(id) = nearer {
            let other = walk
                .only(id)
                .first(|found| open(objects, found, engine))
                .await;
            if matches!(other.outcome, Ok(Some(_))) {
                voice.note(&format!(
                    "starting from {id:.12}, a sibling of the newest snapshot, whose builds are nearer to this job's"
                ));
                walked.outcome = other.outcome;
                walked.passed_marked |= other.passed_marked;
            }
        }
    }
    for told in walked.told("snapshot") {
        voice.warning(&told);
    }
    let mut trouble = None;
    for refused in &walked.refused {
        if let Refusal::Store(error) = &refused.why
            && error.may_pass()
        {
            trouble = Some(error.to_string());
        }
    }
    let found = match walked.outcome {
        Err(error @ StoreError::Locked { .. }) => return Err(error),
        Err(error) => {
            voice.warning(&format!(
                "starting empty, the store cannot be read: {error}"
            ));
            trouble = Some(error.to_string());
            None
        }
        Ok(found) => found,
    };
    if let Some(found) = found.as_ref().filter(|_| walked.passed_marked) {
        found.source.doubt();
    }
    Ok(Search { found, trouble })
}

async fn open(
    objects: &Objects,
    found: Found,
    engine: Option<(Family, Version)>,
) -> Result<Restorable, Refusal> {
    if let Some(why) = engine.and_then(|(family, own)| engine_rule(&found.document, family, own)) {
        return Err(Refusal::Unfit(why));
    }
    let snapshot = &found.document;
    let first = &snapshot.first;
    let source = Source::open_with(objects.clone(), snapshot.map, snapshot.hot, first).await?;
    let (said, is) = (snapshot.volume_bytes, source.root().volume_bytes());
    if said != is {
        return Err(Refusal::Store(StoreError::Contradiction {
            path: snapshot.path(found.id),
            why: format!("it says that its volume has {said} bytes, and its map {is}"),
        }));
    }
    Ok(Restorable {
        source: Arc::new(source),
        found,
    })
}

fn engine_rule(snapshot: &Snapshot, family: Family, engine: Version) -> Option<String> {
    match snapshot.engine.version.parse::<Version>() {
        Ok(recorded) => compatibility::refusal(family, recorded, engine),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use larder_model::address;
    use larder_model::lineage::Lineage;
    use larder_model::map::MapRoot;
    use larder_model::snapshot::EngineRecord;
    use larder_store::Location;

    use super::*;

    const VOLUME_BYTES: u64 = 1 << 30;

    async fn opened(volume_bytes: u64) -> Result<Restorable, Refusal> {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Location::folder(folder.path()).open(&[]).expect("a store");
        let (map, bytes) = MapRoot::empty(VOLUME_BYTES).expect("a size").encode();
        let stored = objects.put(&address::map(map), bytes).await;
        stored.expect("stored");
        let document = snapshot(volume_bytes, map);
        let (id, _) = document.encode();
        let version: Version = "26.1.5".parse().expect("a version");
        let engine = Some((Family::Docker, version));
        open(&objects, Found { id, document }, engine).await
    }

    fn snapshot(volume_bytes: u64, map: larder_model::digest::MapId) -> Snapshot {
        Snapshot::first(
            Lineage {
                project: "shop".into(),
                compatibility: "linux-x86_64-overlay2-docker26".into(),
                scope: "main".into(),
                job: "build".into(),
            },
            1,
            map,
            volume_bytes,
            EngineRecord::docker("26.1.5", "overlay2"),
        )
    }

    #[tokio::test]
    async fn a_snapshot_has_the_size_of_its_map() {
        let whole = opened(VOLUME_BYTES).await;
        assert!(whole.is_ok(), "it opens");
        for said in [0, VOLUME_BYTES - 1, VOLUME_BYTES * 2, 1 << 63, u64::MAX] {
            let refused = opened(said).await.err();
            let contradicts = matches!(
                &refused,
                Some(Refusal::Store(StoreError::Contradiction { .. }))
            );
            assert!(contradicts, "{said}: {refused:?}");
        }
    }
}
