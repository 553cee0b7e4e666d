//! Archives: saved images as blobs that are split, chunked, deduplicated and rebuilt bit for bit.
//!
//! [`ArchiveWriter`] stores what the parent archive does not have and publishes the document last;
//! [`ArchiveReader`] gives a blob's verified bytes in order, reading ahead. The formats are those of
//! [`larder_model::archive`].

mod anew;
mod buffers;
mod compact;
mod cutter;
mod frames;
mod known;
mod packing;
mod pipeline;
mod reader;
mod recipes;
mod scratch;
mod writer;

pub use anew::ArchiveRelayout;
pub use reader::{ArchiveReader, BlobStream};
pub(crate) use recipes::read as read_part;
pub use writer::{ArchiveFacts, ArchiveWriter};
