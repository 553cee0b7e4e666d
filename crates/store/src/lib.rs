//! Bytes at rest: packs, maps, recipes, snapshots and archives in any object store.
//!
//! Where they rest is the affair of `larder-objects`, whose names stand here too. A snapshot or an archive is
//! written last; whatever is read is verified before it is used.
//!
//! | module | holds |
//! |---|---|
//! | [`source`] | reading a snapshot's volume: map, frames, blocks; long ranges of packs before anybody asks |
//! | [`packer`] | writing changed blocks: frames, packs, leaves, root |
//! | [`archive`] | writing and reading saved images: blobs, chunks, recipes |
//! | [`catalog`] | publishing snapshots and archives beside collections, and finding the newest by ladder |
//! | [`images`] | what a project's machines remember together of images |

pub mod archive;
pub mod catalog;
mod codec;
mod fetch;
pub mod images;
pub mod packer;
pub mod source;
mod uploads;

pub use archive::{ArchiveFacts, ArchiveReader, ArchiveRelayout, ArchiveWriter, BlobStream};
pub use catalog::{Candidate, Found};
pub use fetch::{FetchedBlock, Traffic};
pub use larder_objects::{
    Ability, Access, EncryptKey, Entry, KeyError, Keys, Location, NearPlace, NearTier, Objects,
    Patience, Settings, SignKey, StoreError, Tried,
};
pub use packer::{PackProgress, Packed, Relayout};
pub use source::{Ahead, Source, closure};
