//! The document of an archive.
//!
//! # Data format
//!
//! A [document](crate::format::document) below `archives`, with the fields of [`Archive`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{ArchiveId, PartId, RecipesId};
use crate::format::address::Kind;
use crate::format::document::{Document, EngineRecord, answered_from_fields, is_none};
use crate::format::limits::{
    ARCHIVE_BLOBS_MAX, ARCHIVE_MAX_BYTES, BLOB_NAME_MAX_BYTES, INLINE_MAX_BYTES, PART_BLOB_BYTES,
    PART_STORED_MAX_BYTES,
};
use crate::lineage::Lineage;

/// The format that this program writes and reads.
pub const FORMAT: u32 = 1;

/// One saved set of images, and all that is known of how it came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The line it belongs to.
    pub lineage: Lineage,
    /// When it was made: Unix time in milliseconds.
    pub created_ms: u64,
    /// The archive that the job started from.
    pub parent: Option<ArchiveId>,
    /// Whether another job had already moved the head of this lineage away from `parent`.
    pub sibling: bool,
    /// The archive that this one is, if a collection has laid it out anew: all else is as its job wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<ArchiveId>,
    /// How many saves it continues, where saves are signed; see [`document::counter`](crate::document::counter).
    #[serde(default, skip_serializing_if = "is_none")]
    pub counter: u64,
    /// The engine that the images were saved from.
    pub engine: EngineRecord,
    /// Version of Larder that wrote it.
    pub larder: String,
    /// What the save cost.
    pub statistics: Statistics,
    /// The blobs, by the names that the engine's own archive gives them.
    pub blobs: BTreeMap<String, Blob>,
    /// What the blobs are to the engine: images, tags, manifests. Its own format is the engine
    /// side's.
    pub contents: serde_json::Value,
    /// What using archives of this lineage cost and saved.
    #[serde(default)]
    pub measured: Measured,
    /// What the job's builds depended on, where it was known; its own format is the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<serde_json::Value>,
}

/// A byte string, and how it is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Its size.
    pub bytes: u64,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
}

/// Where a blob is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Here: a short text.
    Inline(String),
    /// In the store: the parts of its recipe, in order.
    Recipe(Vec<PartRef>),
}

/// Where a part of a recipe rests: a range of bytes in an object of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartRef {
    /// The digest of its stored bytes.
    pub id: PartId,
    /// The object that holds it.
    pub object: RecipesId,
    /// Where in the object it begins.
    pub offset: u64,
    /// How many bytes it has there.
    pub stored_bytes: u64,
    /// How many bytes of the blob it rebuilds.
    pub bytes: u64,
}

/// What a save looked at and wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Bytes of all blobs.
    pub blob_bytes: u64,
    /// Blobs that the parent has under the same name, taken over unread.
    pub kept_blobs: u64,
    /// Bytes of the blobs that were read.
    pub read_bytes: u64,
    /// Chunks whose content the store did not have.
    pub new_chunks: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// Bytes of all objects written, but for the document itself.
    pub stored_bytes: u64,
}

/// What using archives of a lineage took, in milliseconds, as far as jobs have measured it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// A restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_ms: Option<u64>,
    /// A build after a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_with_ms: Option<u64>,
    /// A build on an engine without anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_without_ms: Option<u64>,
}

impl PartRef {
    /// The bytes of the object that hold the part.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.offset..self.offset + self.stored_bytes
    }

    fn fault(&self) -> Option<String> {
        if self.stored_bytes == 0 || self.stored_bytes > PART_STORED_MAX_BYTES as u64 {
            return Some(format!("a recipe part of {} bytes", self.stored_bytes));
        }
        if self.bytes == 0 || self.bytes > PART_BLOB_BYTES {
            return Some(format!("a recipe part for {} bytes", self.bytes));
        }
        if self.offset.checked_add(self.stored_bytes).is_none() {
            return Some(format!("a recipe part at offset {}", self.offset));
        }
        None
    }
}

impl Blob {
    fn fault(&self) -> Option<String> {
        let held = match &self.place {
            Place::Inline(text) if text.len() > INLINE_MAX_BYTES => {
                return Some(format!("{} bytes are inline", text.len()));
            }
            Place::Inline(text) => text.len() as u64,
            Place::Recipe(parts) => {
                if let Some(fault) = parts.iter().find_map(PartRef::fault) {
                    return Some(fault);
                }
                // Each is bounded, and the document bounds how many there are.
                parts.iter().map(|part| part.bytes).sum()
            }
        };
        let whole = held == self.bytes;
        (!whole).then(|| format!("{held} of {} bytes are there", self.bytes))
    }
}

impl Document for Archive {
    const KIND: Kind = Kind::Archive;
    const OBJECT: &'static str = "archive";
    const FORMAT: u32 = FORMAT;
    const MAX_BYTES: usize = ARCHIVE_MAX_BYTES;

    answered_from_fields! { ArchiveId }

    fn fault(&self) -> Option<String> {
        if self.blobs.len() > ARCHIVE_BLOBS_MAX {
            return Some(format!("it has {} blobs", self.blobs.len()));
        }
        self.blobs.iter().find_map(|(name, blob)| {
            if name.is_empty() || name.len() > BLOB_NAME_MAX_BYTES {
                return Some(format!("a blob's name has {} bytes", name.len()));
            }
            let fault = blob.fault()?;
            Some(format!("blob {name:?}: {fault}"))
        })
    }
}
