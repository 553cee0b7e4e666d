//! CI systems: what they and git say about a job, from the environment that is given.

mod detect;
pub mod git;

pub use detect::{Ci, Environment, detect};
