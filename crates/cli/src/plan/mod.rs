//! Builds as they are known before they run: what will be built, from which base images, and what
//! of that moved since the last job.
//!
//! | module | holds |
//! |---|---|
//! | [`images`] | asking registries what the base images are |
//! | [`memory`] | what they were when last asked, on this machine |
//! | [`shared`] | what a project's machines remember of them together, in its store |
//! | [`record`] | a job's plans, as its snapshot keeps them |
//! | [`last`] | the snapshot that the next job would restore |
//! | [`survey`], [`view`] | all of that for one command, and how it is shown |

pub mod images;
pub mod last;
pub mod memory;
pub mod record;
pub mod shared;
pub mod survey;
pub mod view;
