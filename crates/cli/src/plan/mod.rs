//! What was asked for, as builds.

mod bake;
mod compose;
mod described;
mod extras;
mod files;
pub mod input;
pub mod platforms;
mod service;
mod variables;

pub use larder_builds::{draft, fault};
