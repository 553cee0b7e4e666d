//! Writing to the memory while the next request is on its way.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

type Write = Box<dyn FnOnce() + Send>;

/// Does one write after the other, beside the task that asks. One at a time: more would take the
/// processor from that task.
#[derive(Default)]
pub(crate) struct Writer {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    writes: VecDeque<Write>,
    /// Who works on the queue, or last did.
    worker: Option<JoinHandle<()>>,
    is_worked_on: bool,
}

impl Writer {
    /// Adds a write. It is done sooner or later, at the latest by [`Writer::settle`].
    pub(crate) fn add(&self, write: Write) {
        let mut queue = self.queue.lock();
        queue.writes.push_back(write);
        if !queue.is_worked_on {
            queue.is_worked_on = true;
            let shared = self.queue.clone();
            queue.worker = Some(tokio::task::spawn_blocking(move || work(&shared)));
        }
    }

    /// Waits until all writes are done.
    pub(crate) async fn settle(&self) {
        let worker = self.queue.lock().worker.take();
        if let Some(worker) = worker {
            worker.await.expect("writing to the memory does not panic");
        }
    }
}

fn work(queue: &Mutex<Queue>) {
    loop {
        let write = {
            let mut queue = queue.lock();
            let write = queue.writes.pop_front();
            queue.is_worked_on = write.is_some();
            write
        };
        match write {
            Some(write) => write(),
            None => return,
        }
    }
}
