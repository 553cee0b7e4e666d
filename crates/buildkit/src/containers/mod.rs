//! The caches of buildx's builders in containers (`docker buildx create --driver docker-container`, which is
//! what `docker/setup-buildx-action` does), which outlive their builders.
//!
//! Such a builder has all its state in the volume `<container>_state` (buildx `driver/docker-container`).
//! The action's builder has a random name and is removed, volume and all, by the job's own clean-up. So:
//!
//! - `watch` follows the engine's events. A new builder's volume is empty: before the container starts it is
//!   exchanged for the state of a builder of an earlier job, which `choice` picks. When the engine is about
//!   to remove such a volume, what is in it is taken off first.
//! - `shelf` is the directory on the volume where states without a volume lie, and what is known of each.
//! - `settle` says, once the engine has stopped, which states are kept, and why others are not.
//! - `own` is the place of the state of our own `buildkitd` among them: it is kept by the same rules.
//!
//! Whoever comes too late loses a cache, and nothing else: a container that starts before the exchange works
//! on in the empty directory that it has. A state counts only if its `buildkitd` ended by itself: killed, it
//! may leave torn databases.

mod choice;
mod own;
mod settle;
mod shelf;
mod watch;

pub(crate) use self::own::{make_place, seen};
pub use self::settle::Bounds;
pub(crate) use self::settle::{forget, settle};
pub use self::watch::{Builders, Seen};
