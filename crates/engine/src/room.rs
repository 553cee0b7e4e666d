//! The room as seen from a task: a thread in namespaces of its own, to which jobs are given.

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;

/// Has the room's thread run a job, and waits for it. A job is dropped if there is no room any more.
pub type InRoom = Arc<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

/// Runs a job in the room, beside the tasks of this thread.
pub(crate) async fn run_in<T: Send + 'static>(
    in_room: &InRoom,
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let in_room = Arc::clone(in_room);
    let (done, result) = std::sync::mpsc::channel();
    let job = Box::new(move || {
        // Nobody waits any more only at the end.
        let _ = done.send(job());
    });
    let ran = spawn_blocking(move || {
        in_room(job);
        result.recv()
    });
    let ran = ran.await.map_err(io::Error::other)?;
    ran.map_err(|_| io::Error::other("the room is gone"))?
}
