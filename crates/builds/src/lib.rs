//! What a project builds: Dockerfiles, and what compose and bake say of their own files.

pub mod draft;
pub mod fault;
mod named_plan;
mod request;

pub use draft::Draft;
pub use fault::Fault;
pub use named_plan::NamedPlan;
pub use request::Request;
