//! Storing what the job has written, and together what it has read, while it still runs.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use larder_store::StoreError;
use larder_store::packer::Early;
use tokio::sync::Mutex;

use crate::blocks::Blocks;

/// A block that was left alone for so long is taken for finished. Unpacking a layer or an `npm install`
/// writes most blocks once, and those that it comes back to it comes back to within a second or two.
const QUIET: Duration = Duration::from_secs(2);
/// As many blocks as are worth a pack of their own (16 MiB of content or more).
const MIN_BLOCKS: usize = 256;
/// How often is looked for what was read.
const READS_EVERY: Duration = Duration::from_secs(1);
/// As many blocks are stored together as make a pack of most content.
const MIN_COPIES: usize = 512;
/// Blocks that are stored at once: bounds what goes on after the job's end.
const MAX_BLOCKS: usize = 1024;

/// Stores blocks until it is dropped or the store fails.
pub(crate) async fn run(blocks: Arc<Blocks>, early: Arc<Mutex<Early>>) {
    let stored = tokio::try_join!(store_written(&blocks, &early), store_read(&blocks, &early));
    let Err(error) = stored;
    tracing::warn!(%error, "nothing more is stored before the job's end");
}

/// Stores quiet blocks, some at a time.
async fn store_written(
    blocks: &Arc<Blocks>,
    early: &Mutex<Early>,
) -> Result<Infallible, StoreError> {
    loop {
        tokio::time::sleep(QUIET).await;
        let quiet = blocks.quiet();
        if quiet.len() < MIN_BLOCKS {
            continue;
        }
        for some in quiet.chunks(MAX_BLOCKS) {
            // Before the first byte is read: whoever writes meanwhile takes it back.
            blocks.begin_early(some);
            let mut early = early.lock().await;
            let stored = early.store(blocks.source(), some.to_vec(), reader(blocks));
            stored.await.inspect_err(|_| blocks.give_up_early(some))?;
        }
    }
}

/// Stores together what was read.
async fn store_read(blocks: &Arc<Blocks>, early: &Mutex<Early>) -> Result<Infallible, StoreError> {
    if blocks.source().objects().is_near() {
        // What is scattered costs the next job nothing.
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(READS_EVERY).await;
        let reads = blocks.trace();
        let mut early = early.lock().await;
        let stored = early.copy(blocks.source(), &reads, MIN_COPIES, reader(blocks));
        stored.await?;
    }
}

fn reader(blocks: &Arc<Blocks>) -> impl Fn(u64, &mut [u8]) -> io::Result<()> + use<> {
    let blocks = Arc::clone(blocks);
    move |block, buffer| blocks.read_block(block, buffer)
}
