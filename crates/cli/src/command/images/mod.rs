//! The verbs of engines that are only an API away: their images and build cache are saved and restored.

pub(crate) mod build;
pub(crate) mod restore;
pub(crate) mod save;
