//! What base images are today, and what is remembered of that.
//!
//! [`images::resolve`] plans builds and asks registries what their base images are. It asks only for what
//! is not remembered: by this machine, or by the project's machines together in their store ([`shared`]).
//! A job's snapshot keeps what was found out ([`record`]), and the next job compares with it ([`last`], [`siblings`]).

pub mod images;
pub mod last;
mod memory;
pub mod project;
pub mod record;
pub mod registries;
pub mod shared;
pub mod siblings;

pub use images::{Answers, Asking};
pub use last::Last;
pub use project::{Freshness, Project};
pub use record::{Known, Record};
pub use registries::Registries;
pub use shared::Shared;
