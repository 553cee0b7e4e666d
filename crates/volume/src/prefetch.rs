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
