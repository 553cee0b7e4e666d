//! What base images are today, and what is remembered of that.
//!
//! | module | holds |
//! |---|---|
//! | [`project`] | where a project's memories are, and its policy |
//! | [`registries`] | how registries are reached |
//! | [`images`] | asking what the base images of builds are |
//! | [`memory`] | what tags were when this machine last asked |
//! | [`shared`] | what the project's machines remember together, in the store |
//! | [`record`] | a job's plans and images, as its snapshot keeps them |
//! | [`last`] | the snapshot that the next job would restore |

pub mod images;
pub mod last;
mod memory;
pub mod project;
pub mod record;
pub mod registries;
pub mod shared;

pub use images::{Answers, Asking};
pub use last::Last;
pub use project::{Freshness, Project};
pub use record::{Known, Record};
pub use registries::Registries;
pub use shared::Shared;
