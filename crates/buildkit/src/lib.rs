//! `BuildKit` that is not the engine's own.
//!
//! - [`Builders`] follows those that buildx makes in containers of the engine, and keeps their caches.
//! - [`Buildkitd`] is a builder of ours: a `buildkitd` on the volume, beside the engine or without one.
//!
//! When all have ended, [`scrub_builders`] settles whose state stays on the volume, and scrubs it.

mod config;
mod containers;
mod daemon;
mod error;
mod program;
mod scrub;

pub use self::config::Reach;
pub use self::containers::{Bounds, Builders, Seen};
pub use self::daemon::{Buildkitd, BuildkitdConfig};
pub use self::program::{BuilderProgram, probe};
pub use self::scrub::{ScrubbedBuilders, scrub_builders};
