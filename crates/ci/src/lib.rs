//! CI systems: what they and git say about a job, from the environment that is given; and
//! what they are to be told.

mod detect;
pub mod git;
pub mod init;

pub use detect::{Ci, Environment, detect};
