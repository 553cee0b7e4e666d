//! Bytes at rest: packs, maps, recipes, snapshots and archives in any object store.
//!
//! This is the only crate that knows `object_store`. Objects are written once and never changed; a
//! snapshot or an archive is written last; whatever is read is bounded in size and verified before it is used.
//!
//! | module | holds |
//! |---|---|
//! | [`location`] | the URL of a store, opened; with what its cloud asks for, and with keys |
//! | `keys` | what we sign with, and whose signatures we believe |
//! | `answer` | why a request failed, in the cloud's own words |
//! | `request` | what is tried again, how long a store is waited for, what is damaged; answers that end |
//! | [`objects`] | put, get, list, delete: with limits and deadlines |
//! | [`source`] | reading a snapshot's volume: map, frames, blocks; long ranges of packs before anybody asks |
//! | [`packer`] | writing changed blocks: frames, packs, leaves, root |
//! | [`archive`] | writing and reading saved images: blobs, chunks, recipes |
//! | [`catalog`] | publishing snapshots and archives beside collections, and finding the newest by ladder |
//! | [`images`] | what a project's machines remember together of images |

mod answer;
pub mod archive;
pub mod catalog;
mod codec;
pub mod error;
mod fetch;
pub mod images;
mod keys;
pub mod location;
pub mod objects;
pub mod packer;
mod request;
pub mod source;
mod uploads;

pub use archive::{ArchiveFacts, ArchiveReader, ArchiveWriter, BlobStream};
pub use catalog::{Candidate, Found};
pub use error::StoreError;
pub use fetch::{FetchedBlock, Traffic};
pub use keys::{KeyError, Keys, SignKey};
pub use location::{Access, Location, NearPlace, NearTier, Settings};
pub use objects::{Entry, Objects};
pub use packer::{PackProgress, Packed};
pub use request::Patience;
pub use source::{Ahead, Source, closure};
