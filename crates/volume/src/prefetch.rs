//! Fetching what this job will read before it asks.

use std::os::fd::AsFd;
use std::sync::Arc;

use larder_model::leaves::READ_MAX_BYTES;
use larder_model::pace;
use larder_store::{Ahead, Source};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::blocks::Blocks;

/// Ranges, each 2 MiB at most, that are read at once before it is known what the line carries.
const LANES_FIRST: usize = 4;
/// Bytes of leaves that are read ahead where somebody said how much content to fetch, which is planned by leaves: those
/// of some 110 GiB.
const LEAVES_OF_ALL_BYTES: u64 = 64 * 1024 * 1024;
/// Prefetching stops when the disk that holds the local file has less than this left: what is left
/// belongs to the build.
const DISK_RESERVE_BYTES: u64 = 1 << 30;

/// Content that is read ahead at most where nothing is known of what the job will read; and no more than a
/// third of the disk's free space.
const BUDGET_BYTES: u64 = 2 << 30;

/// What to fetch before it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prefetch {
    /// Nothing.
    Off,
    /// What the last job read, and the map.
    Hot,
    /// That, then all else, up to so many bytes of content.
    All(Option<u64>),
    /// What the last job read; all, up to so many bytes, where that is not known.
    Auto(Option<u64>),
}

/// Fetches what is to be fetched, beside the misses of the job. Ends early, and quietly, at trouble: a
/// real miss will meet it again and say so.
pub(crate) async fn run<F>(blocks: Arc<Blocks>, prefetch: Prefetch, folder: F)
where
    F: AsFd + Send + Sync + 'static,
{
    if prefetch == Prefetch::Off {
        return;
    }
    let folder = Arc::new(folder);
    let source = blocks.source();
    // A later miss then costs one request. The hot blocks come first, on the connections that are open.
    let leaves_bytes = match prefetch {
        Prefetch::All(Some(_)) | Prefetch::Auto(Some(_)) => LEAVES_OF_ALL_BYTES,
        _ => READ_MAX_BYTES,
    };
    let all = matches!(prefetch, Prefetch::All(_)) || source.hot().is_empty();
    let leaves = source.read_leaves(leaves_bytes, all);
    let hot = lanes(&blocks, &folder, |source| Some(source.hot()));
    let ((), leaves) = tokio::join!(biased; hot, leaves);
    if let Err(error) = leaves {
        tracing::warn!(%error, "reading the map ahead");
    }
    let limit = match prefetch {
        Prefetch::All(limit) => limit,
        Prefetch::Auto(limit) if source.hot().is_empty() => limit,
        Prefetch::Off | Prefetch::Hot | Prefetch::Auto(_) => return,
    };
    source.plan_rest(limit.unwrap_or_else(|| BUDGET_BYTES.min(free_bytes(&*folder) / 3)));
    lanes(&blocks, &folder, Source::rest).await;
}

/// Reads ranges side by side until none is left, or the disk is full.
async fn lanes<F>(blocks: &Arc<Blocks>, folder: &Arc<F>, which: fn(&Source) -> Option<&Ahead>)
where
    F: AsFd + Send + Sync + 'static,
{
    let (mut lanes, mut at_once) = (JoinSet::new(), LANES_FIRST);
    let mut is_more = true;
    loop {
        let is_needed = which(blocks.source()).is_some_and(Ahead::is_needed);
        let most = if is_needed { 1 } else { at_once };
        while is_more && lanes.len() < most {
            let (blocks, folder) = (Arc::clone(blocks), Arc::clone(folder));
            lanes.spawn(async move {
                let ahead = which(blocks.source()).filter(|_| has_room(&*folder))?;
                ahead.read_next(|one| blocks.fill(one)).await
            });
        }
        let now = lanes.len();
        match lanes.join_next().await {
            Some(Ok(Some(took))) => at_once = pace::at_once(now, blocks.source().nearest(), took),
            Some(_) => is_more = false,
            None => return,
        }
    }
}

fn has_room(folder: &impl AsFd) -> bool {
    free_bytes(folder) > DISK_RESERVE_BYTES
}

/// Free space of the disk that holds a folder; any amount where the kernel does not say.
fn free_bytes(folder: &impl AsFd) -> u64 {
    let disk = rustix::fs::fstatvfs(folder);
    disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use larder_model::habit::Reads;
    use larder_store::Location;
    use larder_store::packer::{self, Changed, Job};

    use super::*;

    /// What only fetching ahead meets is no reason not to save; what the kernel reads is.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_fetch_ahead_that_fails_is_no_fault() {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Location::folder(folder.path()).open(&[]).expect("a store");
        let source = Arc::new(Source::empty(objects.clone(), 1 << 30).expect("a volume"));
        let job = Job {
            changed: Changed {
                written: (0..200).collect(),
                ..Changed::default()
            },
            reads: Reads {
                blocks: (0..200).collect(),
                at_start: 0,
            },
            ..Job::default()
        };
        let read = |block, buffer: &mut [u8]| {
            buffer.fill(block as u8 + 1);
            Ok(())
        };
        let packed = packer::pack(&source, job, read, Arc::default()).await;
        let packed = packed.expect("stored");
        fs::remove_dir_all(folder.path().join("v1/packs")).expect("removed");
        let source = Source::open(objects, packed.map, packed.hot).await;
        let source = Arc::new(source.expect("a map"));
        assert!(!source.hot().is_empty());
        let file = tempfile::tempfile().expect("a file");
        let blocks = Arc::new(Blocks::new(file, source).expect("blocks"));
        let disk = fs::File::open(folder.path()).expect("a folder");
        run(Arc::clone(&blocks), Prefetch::All(None), disk).await;
        assert!(blocks.fault().is_none());
        let bytes = 5 * 65536..5 * 65536 + 4096;
        blocks.make_local(bytes).await.expect_err("it is gone");
        assert!(blocks.fault().expect("a fault").damage);
    }
}
