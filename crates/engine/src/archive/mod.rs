//! Streams of images: an engine's export taken apart ([`ExportReader`]), what it held
//! ([`Contents`]), and a stream for loading made of that ([`LoadPlan`]).
//!
//! ```text
//! save:     Remote::export ──> ExportReader ──> blobs, one by one ──> whoever keeps them
//!                                          └──> Contents, at the end
//! restore:  Contents + what the engine has (Held) ──> LoadPlan ──> stream(s) ──> Remote::load
//!                                        blobs, when they are needed ──┘
//! ```

mod branches;
mod contents;
mod error;
mod gather;
mod held;
mod inline;
mod load;
mod reader;
mod tar;
#[cfg(test)]
mod tests;
mod turns;

pub use branches::in_two;
pub use contents::{BLOBS_MAX, CONTENTS_BYTES_MAX, Contents, IMAGES_MAX, SavedImage, SavedLayer};
pub use error::{ArchiveError, Result};
pub use gather::Documents;
pub use held::Held;
pub use inline::carry_over;
pub use load::{LeftOut, LoadPlan};
pub use reader::{Blob, ExportReader};
pub use turns::load_in_lanes;
