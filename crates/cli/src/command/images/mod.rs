//! The commands for engines that only their API reaches: images and build cache are saved and restored.

pub(crate) mod build;
pub(crate) mod restore;
pub(crate) mod save;
