//! What a project builds: Dockerfiles, and what compose and bake say of their own files.
//!
//! ```text
//! Request ─ locate ─┬─ a Dockerfile ──────────────────────────────────────────────┐
//!                   └─ tool: docker compose config, docker buildx bake ─ project ─┴─ Draft ─ NamedPlan
//! ```
//!
//! Compose and bake files are read by the tools that build them: `docker compose config` and `docker
//! buildx bake --print` say what is built, as they will when the job builds it. What neither says is
//! worked out here from their answer: the file that a Dockerfile's name means, images that another
//! service of the project builds, and what docker takes from the environment.

mod bake;
mod compose;
mod description;
mod draft;
mod extras;
mod fault;
mod files;
mod kind;
mod locate;
mod options;
mod project;
mod request;
mod resolved;
mod tool;

pub use draft::{Draft, Drafted, NamedPlan, plans};
pub use fault::Fault;
pub use files::{is_remote, read_input};
pub use options::{host_platform, platform};
pub use request::{Build, Request, RunOptions, Surroundings};
