//! The background process: `serve` is its life, `start` brings it up (`restore` chooses the snapshot,
//! `parts` holds what is up, in its order), `finish` brings it down. `base_images` are compared with
//! their registries on the way; `events` is what the process says, `trouble`
//! what of the store. `verdict` tells whose fault a failed start is.

mod base_images;
mod events;
mod finish;
mod parts;
mod restore;
mod serve;
mod start;
mod trouble;
mod verdict;

pub use serve::serve;
