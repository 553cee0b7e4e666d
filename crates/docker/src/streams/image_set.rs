//! What an archive of images holds, apart from the bytes: which images, made of which blobs.
//!
//! # Data format
//!
//! JSON, an object that is kept with the archive's blobs. Read from a store it is not trusted: counts
//! and names are bounded, and a blob's name is a key, never a path that is followed.
//!
//! ```json
//! { "format": 1,
//!   "image_store": "overlay2",
//!   "images": [
//!     { "id": "sha256:5b70…",
//!       "tags": ["app:latest"],
//!       "parent": "sha256:501d…",
//!       "documents": ["blobs/sha256/5b70…"],
//!       "layers": [
//!         { "blob": "blobs/sha256/ad09…", "diff_id": "sha256:ad09…" } ] } ],
//!   "blobs": { "blobs/sha256/5b70…": 2817, "blobs/sha256/ad09…": 1984512 } }
//! ```
//!
//! - `image_store`: `overlay2` (any graph driver) or `containerd`; the two kinds of archive differ.
//! - `id`: the digest of the image's configuration; of containerd's store, that of its manifest or
//!   index. `parent`: the image below it, of the classic builder, if that is in the archive too.
//! - `documents`: the blobs that are always loaded: the configuration first; of containerd's store
//!   also manifests and indexes, and what is neither a layer nor missing.
//! - `layers`: lowest first. `diff_id` is the digest of the unpacked layer.
//! - `descriptor` (containerd's store): the image's entry of `index.json`, without its names.
//! - `blobs`: every blob that the images need and the archive has, with its length. A blob is called
//!   what the engine called it: `blobs/sha256/<hex>`; before Docker 25 `<hex>.json` and
//!   `<hex>/layer.tar`.
//! - `aliases`: before Docker 25 a layer stands in an export under the name of each image that it is
//!   on top of; all but one of these, which one is left to chance, are links. This says which blob was
//!   meant, so that the next export's layers are recognised.

use std::collections::{BTreeMap, HashMap, HashSet};

use larder_model::oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Result, StreamError};
use crate::image_store::ImageStore;
use crate::sha256::sha256_hex;

/// The version of this description.
const FORMAT: u32 = 1;

/// An engine with more images than this is no CI job's: the classic builder makes one a step.
const IMAGES_MAX: usize = 10_000;
/// Each image may have up to 127 layers, and most share theirs.
pub(super) const BLOBS_MAX: usize = 100_000;
/// moby `layer/layer.go`, `maxLayerDepth`, is 125; containerd's overlayfs takes 500.
const LAYERS_MAX: usize = 1000;
/// Names of one image.
const TAGS_MAX: usize = 1000;
/// The longest name of a blob: an entry of a tar, without extensions.
const BLOB_NAME_BYTES_MAX: usize = 255;
/// Where an export that is an OCI image layout has its blobs.
const OCI_BLOBS: &str = "blobs/sha256/";

/// How errors call it.
const WHAT: &str = "the description of an archive";

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    format: u32,
    /// The kind of engine it comes from.
    pub image_store: ImageStore,
    /// The images, in the order of the export.
    pub images: Vec<SavedImage>,
    /// The blobs that are there, by name, and how long they are.
    pub blobs: BTreeMap<String, u64>,
    /// Entries of the export whose blob is called otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
}

/// An image of an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedImage {
    /// What the engine calls it: `sha256:…`.
    pub id: String,
    /// Its names; an image that was saved by its id has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The image that it was made from by one step of the classic builder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Its configuration, manifests and the like, by blob.
    pub documents: Vec<String>,
    /// Its layers, lowest first.
    pub layers: Vec<SavedLayer>,
    /// Its entry of `index.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Value>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedLayer {
    /// The blob that holds it, as a tar or a compressed one.
    pub blob: String,
    /// The digest of the tar.
    pub diff_id: String,
}

impl Contents {
    /// Of these images, of which the blobs are there that `sizes` names. Blobs that no image needs are
    /// left out.
    pub(super) fn new(
        image_store: ImageStore,
        images: Vec<SavedImage>,
        sizes: &HashMap<String, u64>,
        mut aliases: BTreeMap<String, String>,
    ) -> Result<Self> {
        let blobs: BTreeMap<String, u64> = images
            .iter()
            .flat_map(SavedImage::blobs)
            .filter_map(|name| Some((name.to_owned(), *sizes.get(name)?)))
            .collect();
        aliases.retain(|_, blob| blobs.contains_key(blob));
        let contents = Self {
            format: FORMAT,
            image_store,
            images,
            blobs,
            aliases,
        };
        contents.check()?;
        Ok(contents)
    }

    /// These of its images alone.
    pub fn only(&self, images: Vec<SavedImage>) -> Result<Self> {
        let sizes = self.blobs.clone().into_iter().collect();
        Self::new(self.image_store, images, &sizes, self.aliases.clone())
    }

    /// The images of both; an image that both have has the names of both.
    pub fn and(mut self, other: Self) -> Result<Self> {
        for image in other.images {
            match self.images.iter_mut().find(|it| it.id == image.id) {
                None => self.images.push(image),
                Some(same) => same.name(image.tags),
            }
        }
        self.blobs.extend(other.blobs);
        self.aliases.extend(other.aliases);
        self.check()?;
        Ok(self)
    }

    /// Gives an image of a graph driver another configuration: the blob that must hold it. `None`
    /// if another image is that one already.
    pub fn configure(&mut self, at: usize, configuration: &[u8]) -> Option<String> {
        let image = self.with_configuration(at, configuration);
        if self.image(&image.id).is_some() {
            return None;
        }
        let name = image.documents[0].clone();
        self.images[at] = image;
        self.blobs.insert(name.clone(), configuration.len() as u64);
        let needed: HashSet<&str> = self.images.iter().flat_map(SavedImage::blobs).collect();
        self.blobs.retain(|blob, _| needed.contains(blob.as_str()));
        Some(name)
    }

    /// Adds an image like another one, with this configuration and this name: the blob that must hold
    /// the configuration. An image that has it already gets the name, and `None` is returned.
    pub fn add_like(&mut self, at: usize, configuration: &[u8], tag: String) -> Option<String> {
        let mut image = self.with_configuration(at, configuration);
        if let Some(same) = self.images.iter_mut().find(|it| it.id == image.id) {
            same.name(vec![tag]);
            return None;
        }
        image.tags = vec![tag];
        let name = image.documents[0].clone();
        self.images.push(image);
        self.blobs.insert(name.clone(), configuration.len() as u64);
        Some(name)
    }

    /// An image as it is with another configuration.
    fn with_configuration(&self, at: usize, configuration: &[u8]) -> SavedImage {
        let digits = sha256_hex(configuration);
        let mut image = self.images[at].clone();
        image.id = format!("sha256:{digits}");
        // As its engine calls blobs.
        image.documents[0] = match image.documents[0].strip_prefix(OCI_BLOBS) {
            Some(_) => format!("{OCI_BLOBS}{digits}"),
            None => format!("{digits}.json"),
        };
        image
    }

    /// Reads the JSON form.
    pub fn from_value(value: &Value) -> Result<Self> {
        let read = Self::deserialize(value);
        let contents = read.map_err(|error| StreamError::malformed(WHAT, error))?;
        contents.check()?;
        Ok(contents)
    }

    /// The JSON form.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers are JSON")
    }

    /// Which image has this name or id.
    pub fn image(&self, name: &str) -> Option<&SavedImage> {
        self.images
            .iter()
            .find(|image| image.id == name || image.tags.iter().any(|tag| tag == name))
    }

    fn check(&self) -> Result<()> {
        match self.fault() {
            Some(reason) => Err(StreamError::malformed(WHAT, reason)),
            None => Ok(()),
        }
    }

    /// What is wrong with it. It may come from a store, which is not trusted.
    fn fault(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("format {} is not known", self.format));
        }
        if self.images.len() > IMAGES_MAX
            || self.blobs.len() > BLOBS_MAX
            || self.aliases.len() > BLOBS_MAX
        {
            return Some(format!(
                "{} images of {} blobs are too many",
                self.images.len(),
                self.blobs.len()
            ));
        }
        let mut ids = HashSet::new();
        for image in &self.images {
            if !is_digest(&image.id) || !ids.insert(&image.id) {
                return Some(format!("image id {:?}", image.id));
            }
        }
        if let Some(fault) = self.images.iter().find_map(SavedImage::fault) {
            return Some(fault);
        }
        let needed = self.images.iter().flat_map(SavedImage::blobs);
        let mut named = self.blobs.keys().map(String::as_str).chain(needed);
        let unusable = named.find(|name| !is_blob_name(name))?;
        Some(format!("blob name {unusable:?}"))
    }
}

impl SavedImage {
    /// The chain id of each of its layers, lowest first: a base image's is among them if the image
    /// was built on that.
    pub fn chain_ids(&self) -> Vec<String> {
        let diff_ids: Vec<String> = self.layers.iter().map(|it| it.diff_id.clone()).collect();
        chain_ids(&diff_ids)
    }

    /// What is wrong with it, its id and the names of its blobs aside.
    fn fault(&self) -> Option<String> {
        if self.layers.len() > LAYERS_MAX
            || self.documents.len() > BLOBS_MAX
            || self.tags.len() > TAGS_MAX
        {
            return Some(format!("image {} has too many parts", self.id));
        }
        if self.documents.is_empty() {
            return Some(format!("image {} has no configuration", self.id));
        }
        let layer = self.layers.iter().find(|it| !is_digest(&it.diff_id))?;
        Some(format!("diff id {:?}", layer.diff_id))
    }

    /// Gives it names, those that it has not yet.
    fn name(&mut self, tags: Vec<String>) {
        for tag in tags {
            if !self.tags.contains(&tag) {
                self.tags.push(tag);
            }
        }
    }

    /// Every blob that it is made of.
    pub fn blobs(&self) -> impl Iterator<Item = &str> {
        let documents = self.documents.iter().map(String::as_str);
        documents.chain(self.layer_blobs())
    }

    pub(super) fn layer_blobs(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| layer.blob.as_str())
    }
}

/// Leaves out parents that are not among the images themselves.
pub(super) fn forget_missing_parents(images: &mut [SavedImage]) {
    let ids: HashSet<String> = images.iter().map(|image| image.id.clone()).collect();
    for image in images {
        image.parent = image.parent.take().filter(|parent| ids.contains(parent));
    }
}

/// The chain id of each layer (OCI image specification, `config.md`, "Layer `ChainID`").
pub(super) fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    let mut chains: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => diff_id.clone(),
            Some(below) => {
                let both = format!("{below} {diff_id}");
                format!("sha256:{}", sha256_hex(both.as_bytes()))
            }
        };
        chains.push(chain);
    }
    chains
}

fn is_digest(text: &str) -> bool {
    matches!(text.parse(), Ok(Digest::Sha256(_)))
}

/// A relative path of plain words.
pub(super) fn is_blob_name(name: &str) -> bool {
    name.len() <= BLOB_NAME_BYTES_MAX && name.split('/').all(is_plain_word)
}

fn is_plain_word(word: &str) -> bool {
    let mut bytes = word.bytes();
    !matches!(word, "" | "." | "..")
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}
