//! What an archive holds, as its document says it.
//!
//! # Data format
//!
//! A JSON object, the field `contents` of an archive's document:
//!
//! ```json
//! { "version": 1,
//!   "images": { … },
//!   "cache": { "index": "{…}", "blobs": ["ad09…", "5b70…"] },
//!   "sources": { "images": ["sha256:5b70…"], "cache": true } }
//! ```
//!
//! - `images`: images as the engine exports them; the format of `larder_docker::streams::Contents`.
//! - `cache`: a folder with `BuildKit`'s cache, an OCI image layout: the text of its `index.json`,
//!   and the SHA-256 digests of the blobs that this names. The blob of a digest is called
//!   `blobs/sha256/<digest>` among the archive's blobs.
//! - `sources`: what the next build is to be given as sources of its cache.

use larder_docker::streams::{Contents, StreamError};
use larder_model::archive::Archive;
use larder_model::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the format. Contents of another version are as good as none.
const VERSION: u32 = 1;
/// No build has more sources.
const SOURCES_MAX: usize = 1000;

/// What an archive holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Document {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    images: Option<Value>,
    /// A folder with `BuildKit`'s cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache: Option<CacheFolder>,
    /// What the next build uses of it.
    #[serde(default)]
    pub(crate) sources: Sources,
}

/// Why an archive's document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is not of this form.
    #[error("its contents are not understood: {0}")]
    NotUnderstood(serde_json::Error),
    /// It was written by another version of Larder.
    #[error("its contents are of version {0}; this program knows {VERSION}")]
    Version(u32),
    /// It names more sources than any build has.
    #[error("it names {0} images as sources")]
    Sources(usize),
    /// A blob of the build cache has no name.
    #[error("{0:?} is not a digest")]
    Digest(String),
    /// Its images make no sense.
    #[error(transparent)]
    Images(StreamError),
}

/// A folder with `BuildKit`'s cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CacheFolder {
    pub(crate) index: String,
    /// The digests of its blobs: 64 hexadecimal digits each.
    pub(crate) blobs: Vec<String>,
}

/// Sources of a build's cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sources {
    /// Images, by name or id.
    pub images: Vec<String>,
    /// Whether there is a folder with `BuildKit`'s cache.
    pub cache: bool,
}

impl Document {
    pub(crate) fn new(
        images: Option<&Contents>,
        cache: Option<CacheFolder>,
        sources: Sources,
    ) -> Self {
        Self {
            version: VERSION,
            images: images.map(Contents::to_value),
            cache,
            sources,
        }
    }

    /// Of an archive, checked.
    pub(crate) fn of(archive: &Archive) -> Result<Self, DocumentError> {
        let document =
            Self::deserialize(&archive.contents).map_err(DocumentError::NotUnderstood)?;
        if document.version != VERSION {
            return Err(DocumentError::Version(document.version));
        }
        if document.sources.images.len() > SOURCES_MAX {
            return Err(DocumentError::Sources(document.sources.images.len()));
        }
        let mut digests = document.cache.iter().flat_map(|cache| &cache.blobs);
        if let Some(digest) = digests.find(|digest| hex::decode::<32>(digest).is_none()) {
            return Err(DocumentError::Digest(digest.clone()));
        }
        // Made again when they are used. An archive whose images make no sense must not hide an older one.
        document.images()?;
        Ok(document)
    }

    pub(crate) fn images(&self) -> Result<Option<Contents>, DocumentError> {
        let images = self.images.as_ref().map(Contents::from_value);
        images.transpose().map_err(DocumentError::Images)
    }

    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers are JSON")
    }
}

/// What the blob of a digest is called in an archive.
pub(crate) fn blob_name(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}
