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

use larder_docker::streams::Contents;
use larder_model::archive::Archive;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the format. Contents of another version are as good as none.
const VERSION: u32 = 1;
/// Longer lists are no build's.
const SOURCES_MAX: usize = 1000;

/// What an archive holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Content {
    version: u32,
    /// Images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    images: Option<Value>,
    /// A folder with `BuildKit`'s cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheFolder>,
    /// What the next build uses of it.
    #[serde(default)]
    pub sources: Sources,
}

/// A folder with `BuildKit`'s cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFolder {
    /// The text of its `index.json`.
    pub index: String,
    /// The digests of its blobs: 64 hexadecimal digits each.
    pub blobs: Vec<String>,
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

impl Content {
    /// Of images and a cache folder.
    pub fn new(images: Option<&Contents>, cache: Option<CacheFolder>, sources: Sources) -> Self {
        Self {
            version: VERSION,
            images: images.map(Contents::to_value),
            cache,
            sources,
        }
    }

    /// Of an archive. Why it cannot be used, if it cannot.
    pub fn of(archive: &Archive) -> Result<Self, String> {
        let content = Self::deserialize(&archive.contents)
            .map_err(|error| format!("its contents are not understood: {error}"))?;
        if content.version != VERSION {
            return Err(format!(
                "its contents are of version {}; this program knows {VERSION}",
                content.version
            ));
        }
        if content.sources.images.len() > SOURCES_MAX {
            return Err(format!(
                "it names {} images as sources",
                content.sources.images.len()
            ));
        }
        for digest in content.cache.iter().flat_map(|cache| &cache.blobs) {
            if !is_hex_digest(digest) {
                return Err(format!("{digest:?} is no digest"));
            }
        }
        Ok(content)
    }

    /// Its images, checked.
    pub fn images(&self) -> Result<Option<Contents>, String> {
        let images = self.images.as_ref().map(Contents::from_value);
        images.transpose().map_err(|error| error.to_string())
    }

    /// As a document keeps it.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers are JSON")
    }
}

/// What the blob of a digest is called in an archive.
pub fn blob_name(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

/// Whether a text is a SHA-256 digest as OCI layouts name files by it.
pub fn is_hex_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
