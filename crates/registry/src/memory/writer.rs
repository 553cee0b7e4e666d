//! Writing to the memory while the next request is on its way.

use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

/// Does one write after the other, beside the task that asks. One at a time: more would take the
/// processor from that task.
#[derive(Default)]
pub(crate) struct Writer {
    last: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Adds a write. It is done sooner or later, at the latest by [`Writer::settle`].
    pub(crate) fn add(&self, write: impl FnOnce() + Send + 'static) {
        let mut last = self.last.lock();
        let before = last.take();
        *last = Some(tokio::spawn(async move {
            finish(before).await;
            finish(Some(spawn_blocking(write))).await;
        }));
    }

    /// Waits until all writes are done.
    pub(crate) async fn settle(&self) {
        let last = self.last.lock().take();
        finish(last).await;
    }
}

async fn finish(write: Option<JoinHandle<()>>) {
    if let Some(write) = write {
        write.await.expect("writing to the memory does not panic");
    }
}
