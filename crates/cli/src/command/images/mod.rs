//! The commands for engines that only their API reaches: images and build cache are saved and restored.

pub mod build;
pub mod restore;
pub mod save;
