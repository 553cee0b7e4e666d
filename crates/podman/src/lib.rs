//! Podman and buildah, whose storage is on a volume. There is no daemon: whoever runs either of them with [`VARIABLE`], as
//! root or as the [`Person`] whose storage it is, works in it.
//!
//! The order of a job, each step one call:
//!
//! 1. [`probe`] finds the program, whose version says which saved volumes it can continue.
//! 2. [`admit`] looks at a volume before anything works on it.
//! 3. [`Storage::write`] writes the settings of the storage, whose [places](Storage::places) are then on the volume;
//!    [`Podman::info`] shows that podman takes them.
//! 4. The job, [`Podman::rest`], what [`Podman::drop_unneeded`] drops.
//! 5. [`scrub`] makes the volume fit to be published; after a crash [`end_users`] ends what still runs.
//!
//! All of it is blocking.

mod drop;
mod images;
mod person;
mod program;
mod rest;
mod scrub;
mod storage;

pub use drop::Bound;
pub use person::Person;
pub use program::{Info, Podman, PodmanProgram, probe};
pub use rest::end_users;
pub use scrub::{admit, scrub};
pub use storage::{OF_ANOTHER_STORAGE, Placed, Storage, VARIABLE};

/// What the functions here come to.
type Result<T, E = larder_engine::EngineError> = std::result::Result<T, E>;
