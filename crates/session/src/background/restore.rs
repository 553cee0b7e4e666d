//! Choosing what a job starts from: the newest snapshot on the ladder that can be opened.

use std::sync::Arc;

use larder_engine::program::EngineProgram;
use larder_local::clock::now_ms;
use larder_local::people::Voice;
use larder_model::address;
use larder_model::compatibility;
use larder_model::document::Document as _;
use larder_model::hot;
use larder_model::ladder::Rung;
use larder_model::limits::{BLOCK_BYTES, HOT_LIST_MAX_BYTES};
use larder_model::snapshot::Snapshot;
use larder_model::version::Version;
use larder_store::catalog::{Found, Refusal, Walk};
use larder_store::{Objects, Source, StoreError};

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
    let walked = Walk::new(objects, now_ms(), ladder)
        .first(|found| open(objects, found, program))
        .await;
    for told in walked.told("snapshot") {
        voice.warning(&told);
    }
    let found = walked.outcome.unwrap_or_else(|error| {
        voice.warning(&format!(
            "starting empty, the store cannot be read: {error}"
        ));
        None
    });
    if let Some(found) = found.as_ref().filter(|_| walked.passed_marked) {
        found.source.doubt();
    }
    found
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
    let source = source?;
    let (said, is) = (found.document.volume_bytes, source.root().volume_bytes());
    if said != is {
        return Err(Refusal::Store(StoreError::Contradiction {
            path: found.document.path(found.id),
            why: format!("it says that its volume has {said} bytes, and its map {is}"),
        }));
    }
    Ok(Restorable {
        source: Arc::new(source),
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

#[cfg(test)]
mod tests {
    use larder_model::digest::HotListId;
    use larder_model::lineage::Lineage;
    use larder_model::map::MapRoot;
    use larder_model::snapshot::{EngineRecord, FORMAT, Statistics};
    use larder_store::Location;

    use super::*;

    const VOLUME_BYTES: u64 = 1 << 30;

    async fn opened(volume_bytes: u64, hot: &[u64]) -> Result<Restorable, Refusal> {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Location::folder(folder.path()).open(&[]).expect("a store");
        let (map, bytes) = MapRoot::empty(VOLUME_BYTES).expect("a size").encode();
        let (list, list_bytes) = hot::encode(hot);
        for (path, bytes) in [(address::map(map), bytes), (address::hot(list), list_bytes)] {
            objects.put(&path, bytes).await.expect("stored");
        }
        let document = snapshot(volume_bytes, map, list);
        let (id, _) = document.encode();
        let version: Version = "26.1.5".parse().expect("a version");
        let program = EngineProgram {
            dockerd: "/dockerd".into(),
            version,
            containerd: "/containerd".into(),
            containerd_version: version,
        };
        open(&objects, Found { id, document }, &program).await
    }

    fn snapshot(volume_bytes: u64, map: larder_model::digest::MapId, hot: HotListId) -> Snapshot {
        Snapshot {
            format: FORMAT,
            lineage: Lineage {
                project: "shop".into(),
                compatibility: "linux-x86_64-overlay2-docker26".into(),
                scope: "main".into(),
                job: "build".into(),
            },
            created_ms: 1,
            parent: None,
            sibling: false,
            map,
            volume_bytes,
            hot: Some(hot),
            engine: EngineRecord::docker("26.1.5", "overlay2"),
            larder: "0".into(),
            statistics: Statistics::default(),
            plan: None,
        }
    }

    #[tokio::test]
    async fn a_snapshot_has_the_size_of_its_map() {
        let whole = opened(VOLUME_BYTES, &[0, 16_383]).await.expect("it opens");
        assert_eq!(whole.hot, [0, 16_383]);
        for said in [0, VOLUME_BYTES - 1, VOLUME_BYTES * 2, 1 << 63, u64::MAX] {
            // Blocks that only the larger volume would have.
            let refused = opened(said, &[1 << 40]).await.err();
            let contradicts = matches!(
                &refused,
                Some(Refusal::Store(StoreError::Contradiction { .. }))
            );
            assert!(contradicts, "{said}: {refused:?}");
        }
    }
}
