//! Storing what the job has written while it still runs.

use std::sync::Arc;
use std::time::Duration;

use larder_store::packer::Early;
use tokio::sync::Mutex;

use crate::blocks::Blocks;

/// A block that was left alone for so long is taken for finished. Unpacking a layer or an `npm install`
/// writes most blocks once, and those that it comes back to it comes back to within a second or two.
const QUIET: Duration = Duration::from_secs(2);
/// As many blocks as are worth a pack of their own (16 MiB of content or more).
const MIN_BLOCKS: usize = 256;
/// Blocks that are stored at once: bounds what goes on after the job's end.
const MAX_BLOCKS: usize = 1024;

/// Stores quiet blocks, some at a time, until it is dropped or the store fails.
pub(crate) async fn run(blocks: Arc<Blocks>, early: Arc<Mutex<Early>>) {
    loop {
        tokio::time::sleep(QUIET).await;
        let quiet = blocks.quiet();
        if quiet.len() < MIN_BLOCKS {
            continue;
        }
        for some in quiet.chunks(MAX_BLOCKS) {
            // Before the first byte is read: whoever writes meanwhile takes it back.
            blocks.begin_early(some);
            let reader = Arc::clone(&blocks);
            let read = move |block, buffer: &mut [u8]| reader.read_block(block, buffer);
            let mut early = early.lock().await;
            if let Err(error) = early.store(blocks.source(), some.to_vec(), read).await {
                blocks.give_up_early(some);
                tracing::warn!(%error, "nothing more is stored before the job's end");
                return;
            }
        }
    }
}
