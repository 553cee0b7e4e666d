//! The documents of an export, and what they say of its images.

use std::collections::{BTreeMap, HashMap, HashSet};

use larder_model::reference::ImageReference;
use serde::Deserialize;
use serde_json::Value;

use super::error::{Result, StreamError};
use super::image_set::{
    BLOBS_MAX, Contents, SavedImage, SavedLayer, forget_missing_parents, is_blob_name,
};
use crate::image_store::ImageStore;
use crate::remote::Image;
use crate::sha256::sha256_hex;

/// The largest document that is looked into. containerd reads manifests of up to 8 MiB
/// (`core/images/image.go`, `validateMediaType` and its callers); configurations are smaller.
const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
/// All of them: ten thousand images of the classic builder have some 5 KiB each.
const DOCUMENTS_BYTES_MAX: u64 = 64 << 20;
/// Indexes within indexes: one is usual.
const DEPTH_MAX: u32 = 4;

/// The names of an image in an entry of `index.json`.
const NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Configurations, manifests and indexes, by blob.
pub type Documents = HashMap<String, Vec<u8>>;

/// What was gathered so far.
#[derive(Default)]
pub(super) struct Gather {
    /// The length of each blob, by the archive's name for it.
    pub(super) sizes: HashMap<String, u64>,
    /// Entries that are called otherwise in the archive.
    aliases: BTreeMap<String, String>,
    links: HashMap<String, String>,
    documents: Documents,
    bytes: u64,
    /// The document that is coming in.
    present: Option<(String, u64, Vec<u8>)>,
    expected: Option<Expected>,
}

/// What an export will hold, as far as it is known before.
struct Expected {
    manifest: Vec<ManifestItem>,
    /// Blobs that have yet to begin.
    missing: HashSet<String>,
}

impl Gather {
    /// What a graph driver's export of these images will hold, each with the names that it was asked
    /// for by. `held` gives the size of a blob that need not come. Before Docker 25 blobs have other
    /// names: all of the export is read then.
    pub(super) fn expect(
        &mut self,
        images: &[(Image, Vec<String>)],
        held: impl Fn(&str) -> Option<u64>,
    ) {
        let items = images.iter().map(|(image, names)| ManifestItem {
            config: blob_of(&image.id),
            repo_tags: Some(names.clone()),
            layers: Some(image.diff_ids.iter().map(|it| blob_of(it)).collect()),
            parent: image.parent.clone().unwrap_or_default(),
        });
        let manifest: Vec<ManifestItem> = items.collect();
        let mut missing = HashSet::new();
        for item in &manifest {
            // Always: it is looked into.
            missing.insert(item.config.clone());
            for layer in item.layers.iter().flatten() {
                match held(layer) {
                    Some(size) => drop(self.sizes.insert(layer.clone(), size)),
                    None => drop(missing.insert(layer.clone())),
                }
            }
        }
        self.expected = Some(Expected { manifest, missing });
    }

    /// Whether all has come that was expected, the present file's end aside.
    pub(super) fn has_all(&self) -> bool {
        let expected = self.expected.as_ref();
        expected.is_some_and(|expected| expected.missing.is_empty())
    }

    /// A symbolic link: before Docker 25 a layer that stands there twice.
    pub(super) fn link(&mut self, entry: &str, target: &str) {
        let folder = entry.rsplit_once('/').map_or("", |(folder, _)| folder);
        let target = match target.strip_prefix("../") {
            Some(rest) => rest.to_owned(),
            None => format!("{folder}/{target}"),
        };
        if is_blob_name(entry) && is_blob_name(&target) && self.links.len() < BLOBS_MAX {
            self.links.insert(entry.to_owned(), target);
        }
    }

    pub(super) fn begin(&mut self, entry: &str, name: &str, size: u64) {
        if let Some(expected) = &mut self.expected {
            expected.missing.remove(name);
        }
        self.sizes.insert(name.to_owned(), size);
        if entry != name {
            self.aliases.insert(entry.to_owned(), name.to_owned());
        }
        if size > 0 && size <= DOCUMENT_BYTES_MAX {
            self.present = Some((name.to_owned(), size, Vec::new()));
        }
    }

    /// A piece of it. What does not begin as JSON does is a layer.
    pub(super) fn piece(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((_, _, content)) = &mut self.present else {
            return Ok(());
        };
        if content.is_empty() && !matches!(bytes.first(), Some(b'{' | b'[')) {
            self.present = None;
            return Ok(());
        }
        content.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        if self.bytes > DOCUMENTS_BYTES_MAX {
            let reason = format!("they have more than {DOCUMENTS_BYTES_MAX} bytes");
            return Err(StreamError::malformed("the export's documents", reason));
        }
        Ok(())
    }

    pub(super) fn end(&mut self) {
        if let Some((name, size, content)) = self.present.take()
            && content.len() as u64 == size
        {
            self.documents.insert(name, content);
        }
    }

    /// What all of it means.
    pub(super) fn contents(mut self, image_store: ImageStore) -> Result<(Contents, Documents)> {
        let images = match image_store {
            ImageStore::Overlay2 => self.of_graph_driver()?,
            ImageStore::Containerd => self.of_containerd()?,
        };
        // Links are kept as aliases, so that the next export is recognised by whichever of a layer's
        // entries holds it then. The target may itself be an entry whose blob has an older name.
        let links = std::mem::take(&mut self.links);
        for (entry, target) in links {
            let blob = self.aliases.get(&target).cloned().unwrap_or(target);
            if entry != blob && self.sizes.contains_key(&blob) {
                self.aliases.insert(entry, blob);
            }
        }
        let contents = Contents::new(image_store, images, &self.sizes, self.aliases)?;
        Ok((contents, self.documents))
    }

    /// The blob behind an entry's name: through a link, then through the archive's own name for it.
    fn blob(&self, entry: &str) -> Result<String> {
        let entry = self.links.get(entry).map_or(entry, String::as_str);
        let blob = self.aliases.get(entry).map_or(entry, String::as_str);
        if self.sizes.contains_key(blob) {
            return Ok(blob.to_owned());
        }
        let reason = format!("it names {entry:?}, which is not in the export");
        Err(StreamError::malformed("manifest.json", reason))
    }
}

/// An entry of `manifest.json` (moby `image/tarexport/tarexport.go`, `manifestItem`).
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestItem {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
    #[serde(default)]
    parent: String,
}

/// What is needed of an image's configuration.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
pub(super) struct RootFs {
    pub(super) diff_ids: Option<Vec<String>>,
}

fn parse<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| StreamError::malformed(what, error))
}

/// The content of a list that must be there.
fn required<'a>(documents: &'a Documents, name: &'static str) -> Result<&'a [u8]> {
    let content = documents.get(name).map(Vec::as_slice);
    content.ok_or_else(|| {
        let reason = "it is not in the export, or larger than any that makes sense";
        StreamError::malformed(name, reason)
    })
}

impl Gather {
    fn of_graph_driver(&self) -> Result<Vec<SavedImage>> {
        let items: Vec<ManifestItem> = match &self.expected {
            Some(expected) if expected.missing.is_empty() => expected.manifest.clone(),
            _ => parse("manifest.json", required(&self.documents, "manifest.json")?)?,
        };
        let mut images = items
            .into_iter()
            .map(|item| self.image(item))
            .collect::<Result<Vec<_>>>()?;
        forget_missing_parents(&mut images);
        Ok(images)
    }

    fn image(&self, item: ManifestItem) -> Result<SavedImage> {
        let config = self.blob(&item.config)?;
        let Some(bytes) = self.documents.get(&config) else {
            let reason = format!("{config:?} is no configuration");
            return Err(StreamError::malformed("manifest.json", reason));
        };
        let id = format!("sha256:{}", sha256_hex(bytes));
        let diff_ids = parse::<Config>("an image's configuration", bytes)?
            .rootfs
            .diff_ids
            .unwrap_or_default();
        let entries = item.layers.unwrap_or_default();
        if entries.len() != diff_ids.len() {
            let reason = format!(
                "image {id} has {} layers and {} diff ids",
                entries.len(),
                diff_ids.len()
            );
            return Err(StreamError::malformed("manifest.json", reason));
        }
        let layers = entries.iter().zip(diff_ids).map(|(entry, diff_id)| {
            let blob = self.blob(entry)?;
            Ok(SavedLayer { blob, diff_id })
        });
        Ok(SavedImage {
            id,
            tags: item.repo_tags.unwrap_or_default(),
            parent: Some(item.parent).filter(|parent| !parent.is_empty()),
            documents: vec![config],
            layers: layers.collect::<Result<_>>()?,
            descriptor: None,
        })
    }
}

/// A descriptor of the OCI image specification, as far as needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
}

/// An index or a manifest.
#[derive(Deserialize)]
struct Node {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Value>,
}

impl Gather {
    fn of_containerd(&self) -> Result<Vec<SavedImage>> {
        let index: Index = parse("index.json", required(&self.documents, "index.json")?)?;
        let mut images: Vec<SavedImage> = Vec::new();
        for mut descriptor in index.manifests {
            let tag = take_name(&mut descriptor);
            let id = Descriptor::deserialize(&descriptor)
                .map_err(|error| StreamError::malformed("index.json", error))?
                .digest;
            // An image with two names is named twice.
            if let Some(image) = images.iter_mut().find(|image| image.id == id) {
                image.tags.extend(tag);
                continue;
            }
            let mut image = SavedImage {
                tags: tag.into_iter().collect(),
                parent: None,
                documents: Vec::new(),
                layers: Vec::new(),
                descriptor: Some(descriptor),
                id,
            };
            let root = image.id.clone();
            self.walk(&root, 0, &mut HashSet::new(), &mut image)?;
            images.push(image);
        }
        Ok(images)
    }

    /// Adds what a manifest or an index leads to. Manifests of other platforms are usually missing.
    fn walk(
        &self,
        digest: &str,
        depth: u32,
        seen: &mut HashSet<String>,
        image: &mut SavedImage,
    ) -> Result<()> {
        let name = blob_of(digest);
        // Nothing keeps an index from naming itself.
        if depth > DEPTH_MAX || !seen.insert(name.clone()) {
            return Ok(());
        }
        let Some(bytes) = self.documents.get(&name) else {
            return Ok(());
        };
        let node: Node = parse("a manifest", bytes)?;
        image.documents.push(name);
        for child in node.manifests.iter().flatten() {
            self.walk(&child.digest, depth + 1, seen, image)?;
        }
        if let Some(config) = node.config {
            self.add_manifest(&config, &node.layers.unwrap_or_default(), image);
        }
        Ok(())
    }

    /// Adds what a manifest names: its configuration and its layers.
    fn add_manifest(&self, config: &Descriptor, layers: &[Descriptor], image: &mut SavedImage) {
        let config = blob_of(&config.digest);
        let diff_ids = self.diff_ids(&config);
        if self.sizes.contains_key(&config) {
            image.documents.push(config);
        }
        let paired = layers.len() == diff_ids.len();
        for (at, layer) in layers.iter().enumerate() {
            let blob = blob_of(&layer.digest);
            // Provenance and the like are "layers" of a manifest of their own.
            if paired && !layer.media_type.contains("in-toto") {
                image.layers.push(SavedLayer {
                    blob,
                    diff_id: diff_ids[at].clone(),
                });
            } else if self.sizes.contains_key(&blob) {
                image.documents.push(blob);
            }
        }
    }

    /// The unpacked layers that a configuration names; none if it is none, or did not come.
    fn diff_ids(&self, config: &str) -> Vec<String> {
        let document = self.documents.get(config);
        let config = document.and_then(|bytes| serde_json::from_slice::<Config>(bytes).ok());
        config
            .and_then(|config| config.rootfs.diff_ids)
            .unwrap_or_default()
    }
}

fn blob_of(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// Takes the name out of an entry of `index.json`. Images without one have none, or a made-up one
/// (moby `daemon/containerd/image.go`, `danglingImageName`).
fn take_name(descriptor: &mut Value) -> Option<String> {
    let annotations = descriptor.get_mut("annotations")?.as_object_mut()?;
    annotations.remove(REF_NAME);
    let name = annotations.remove(NAME)?;
    if annotations.is_empty()
        && let Some(descriptor) = descriptor.as_object_mut()
    {
        descriptor.remove("annotations");
    }
    let reference = ImageReference::parse(name.as_str()?).ok()?;
    reference.tag()?;
    Some(reference.familiar())
}

/// The names that an entry of `index.json` gets for an image's tag: both, as the engine writes them.
pub(super) fn give_name(descriptor: &mut Value, tag: &str) {
    let Ok(reference) = ImageReference::parse(tag) else {
        return;
    };
    let reference = reference.or_latest();
    let Some(descriptor) = descriptor.as_object_mut() else {
        return;
    };
    let annotations = descriptor
        .entry("annotations")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let Some(annotations) = annotations.as_object_mut() {
        let tag = reference.tag().unwrap_or_default().to_owned();
        annotations.insert(NAME.to_owned(), reference.to_string().into());
        annotations.insert(REF_NAME.to_owned(), tag.into());
    }
}
