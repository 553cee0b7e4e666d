//! Fetching what the last job read, in its order, before this one asks.

use std::os::fd::AsFd;
use std::sync::Arc;

use futures_util::StreamExt as _;

use crate::blocks::Blocks;

/// Frames fetched at once; each is at most 1 MiB. Enough to hide a latency of 20 ms at the speed of
/// a CI machine's network, few enough that a real miss finds a free connection.
const FETCHES: usize = 8;
/// Prefetching stops when the disk that holds the local file has less than this left: what is left
/// belongs to the build.
const DISK_RESERVE_BYTES: u64 = 1 << 30;

/// Fetches the blocks of a hot list, then all leaves of the map, so that later misses cost one
/// request each. Ends early, and quietly, at the first fault: a real miss will meet it again and say
/// so.
pub(crate) async fn run(blocks: Arc<Blocks>, hot: Vec<u64>, folder: impl AsFd) {
    let fetches = futures_util::stream::iter(hot).map(|block| {
        let blocks = &blocks;
        async move {
            blocks.until_idle().await;
            blocks.fetch_block(block).await
        }
    });
    let mut fetches = fetches.buffer_unordered(FETCHES);
    while let Some(fetched) = fetches.next().await {
        if fetched.is_err() || !has_room(&folder) {
            return;
        }
    }
    let source = blocks.source();
    let indexes: Vec<u32> = source.root().leaves().map(|(index, _)| index).collect();
    let leaves = indexes.into_iter().map(|index| source.leaf(index));
    let mut leaves = futures_util::stream::iter(leaves).buffer_unordered(FETCHES);
    while let Some(Ok(_)) = leaves.next().await {}
}

fn has_room(folder: &impl AsFd) -> bool {
    let Ok(disk) = rustix::fs::fstatvfs(folder) else {
        return true;
    };
    disk.f_bavail.saturating_mul(disk.f_frsize) > DISK_RESERVE_BYTES
}

#[cfg(test)]
mod tests {
    use std::fs;

    use larder_store::packer::{self, Changed};
    use larder_store::{Location, Source};

    use super::*;

    /// What only fetching ahead meets is no reason not to save; what the kernel reads is.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_fetch_ahead_that_fails_is_no_fault() {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Location::folder(folder.path()).open(&[]).expect("a store");
        let source = Arc::new(Source::empty(objects.clone(), 1 << 30).expect("a volume"));
        let changed = Changed {
            written: vec![5],
            zeroed: Vec::new(),
        };
        let read = |_, buffer: &mut [u8]| {
            buffer.fill(7);
            Ok(())
        };
        let packed = packer::pack(&source, changed, read, Arc::default()).await;
        let map = packed.expect("stored").map;
        fs::remove_dir_all(folder.path().join("v1/packs")).expect("removed");
        let source = Source::open(objects, map).await.expect("a map");
        let file = tempfile::tempfile().expect("a file");
        let blocks = Blocks::new(file, Arc::new(source)).expect("blocks");
        let blocks = Arc::new(blocks);
        let disk = fs::File::open(folder.path()).expect("a folder");
        run(Arc::clone(&blocks), vec![5], disk).await;
        assert!(blocks.fault().is_none());
        let bytes = 5 * 65536..5 * 65536 + 4096;
        blocks.make_local(bytes).await.expect_err("it is gone");
        assert!(blocks.fault().expect("a fault").damage);
    }
}
