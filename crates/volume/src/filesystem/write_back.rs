//! Writing back while the job runs, so that little of it is left to do at its end.
//!
//! By itself the kernel writes a file system's pages after half a minute, or when much memory is dirty: most builds are
//! over by then, and all of what they wrote is still to come through the loop device when the volume is unmounted.
//! Blocks that are stored early have to be on the volume first, too.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::write_back;
use crate::blocks::Blocks;

const EVERY: Duration = Duration::from_secs(1);

/// Writes back now and then, until it is ended or dropped.
#[derive(Debug)]
pub(crate) struct WriteBack {
    /// Nothing comes this way; its end is heard.
    running: mpsc::Sender<Infallible>,
    thread: JoinHandle<()>,
}

impl WriteBack {
    /// Begins with what is mounted at `folder` in the calling thread's mount namespace. Without it the end has more to do.
    pub(crate) fn begin(folder: &Path, blocks: Arc<Blocks>) -> Option<Self> {
        let (running, ended) = mpsc::channel::<Infallible>();
        let folder = folder.to_owned();
        let thread = Builder::new().name("write-back".into()).spawn(move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                // The volume's end meets the same trouble, and tells it.
                let written = write_back(&folder).map(|()| blocks.sync());
                if !matches!(written, Ok(Ok(()))) {
                    tracing::warn!(?written, "nothing more is written back before the end");
                    return;
                }
            }
        });
        let thread =
            thread.inspect_err(|error| tracing::warn!(%error, "nothing is written back early"));
        Some(Self {
            running,
            thread: thread.ok()?,
        })
    }

    /// Waits for what is under way.
    pub(crate) fn end(self) {
        drop(self.running);
        // What it panicked with has been reported.
        let _ = self.thread.join();
    }
}
