//! Builds as they are known before they run: what will be built, from which base images, and what
//! of that moved since the last job.
//!
//! | module | holds |
//! |---|---|
//! | [`input`] | what was asked for, as builds: Dockerfile, options, extra files |
//! | [`compose`], [`service`], [`variables`] | compose files |
//! | [`bake`] | bake files |
//! | [`described`] | an image to build, as both describe one |
//! | [`files`], [`platforms`] | reading files and platforms, for all of these |
//! | [`draft`] | a build as it was asked for, from which its plan is made |
//! | [`extras`] | extra files, found and hashed |
//! | [`images`] | asking registries what the base images are |
//! | [`memory`] | what they were when last asked, on this machine |
//! | [`shared`] | what a project's machines remember of them together, in its store |
//! | [`record`] | a job's plans, as its snapshot keeps them |
//! | [`last`] | the snapshot that the next job would restore |
//! | [`survey`], [`view`] | all of that for one command, and how it is shown |
//! | [`fault`] | what is wrong with a build's files |

mod bake;
mod compose;
mod described;
pub mod draft;
mod extras;
pub mod fault;
mod files;
pub mod images;
pub mod input;
pub mod last;
pub mod memory;
pub mod platforms;
pub mod record;
mod service;
pub mod shared;
pub mod survey;
mod variables;
pub mod view;
