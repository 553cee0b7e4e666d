//! The background process: `serve` is its life, `start` brings it up (`restore` chooses the snapshot,
//! `parts` holds what is up, in its order; a `tenant` lives on the volume), `finish` brings it down. `base_images` are compared with
//! their registries on the way; `events` is what the process says, `users` are those that it works for, and
//! `trouble` is what they are told of the store, and `upkeep` keeps the volume small. `verdict` tells whose fault a failed start is. A `turn` is
//! needed for an engine in the machine's place. `course` notes when what happened.

mod base_images;
mod course;
mod events;
mod finish;
mod parts;
mod restore;
mod serve;
mod start;
mod tenant;
mod trouble;
mod turn;
mod upkeep;
mod users;
mod verdict;

pub use serve::serve;

/// Does work that blocks on a thread for such, and waits for it.
async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    let ran = tokio::task::spawn_blocking(job).await;
    ran.expect("blocking work does not panic")
}
