//! The verbs of engines that are only an API away: their images and build cache are saved and restored.

pub mod build;
pub mod restore;
pub mod save;
