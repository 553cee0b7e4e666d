//! Images and their build cache, saved and restored through an engine's API: for engines whose disk is out
//! of reach.
//!
//! [`Job`] is the engine, the store and the lineage of one command; [`restore`] and [`save`] are the two
//! ways. [`document`] is what an archive holds; [`builder`] is about `docker build`: who builds, its
//! arguments, the images of its stages.

mod build_cache;
pub mod builder;
pub mod document;
mod error;
mod export;
mod find;
mod inline_cache;
pub mod job;
pub mod leaks;
pub mod note;
pub mod restore;
pub mod save;
mod stale_bases;
mod unchanged;

pub use error::ArchiveError;
pub use job::{Job, Settings};

/// What this crate's functions come to.
pub type Result<T, E = ArchiveError> = std::result::Result<T, E>;
