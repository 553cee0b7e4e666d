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
mod error;
mod gather;
mod held;
mod image_set;
mod inline_cache;
mod load;
mod reader;
mod tar;
#[cfg(test)]
mod tests;
mod turns;

pub use self::branches::in_two;
pub use self::error::StreamError;
pub use self::gather::Documents;
pub use self::held::Held;
pub use self::image_set::{Contents, SavedImage, SavedLayer};
pub use self::inline_cache::{carry_over, told_apart};
pub use self::load::{LeftOut, LoadPlan};
pub use self::reader::{Blob, ExportReader};
pub use self::turns::{Lane, load_in_lanes};
