//! A stream for `docker load`, made of an archive and of what the engine has.
//!
//! A graph driver looks for a layer's chain before it opens the layer's file, so a layer that it has
//! may be missing (moby `image/tarexport/load.go`, `Load`: `l.lss.Get`). containerd's store takes an
//! OCI layout whose blobs may be missing if the content store has them (moby
//! `daemon/containerd/image_exporter.go`, `LoadImage`: `WithSkipMissing`, from Docker 25). Each kind of
//! engine gets the documents that it reads, and no others.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::error::StreamError;
use super::gather::give_name;
use super::held::Held;
use super::image_set::{Contents, SavedImage, forget_missing_parents};
use super::tar::{BLOCK, file_header, padding};
use crate::error::{BoxError, Pieces};
use crate::image_store::ImageStore;

/// How many blobs are open at once, the one that is being sent included: most are documents of a few
/// KiB, and one round trip to a store is longer than their sending.
const OPEN_BLOBS_MAX: usize = 4;
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// An image that is not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its id.
    pub id: String,
    /// Its names.
    pub tags: Vec<String>,
    /// Why, as part of a sentence: "its base image moved".
    pub reason: String,
}

/// What will be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadPlan {
    pub(super) image_store: ImageStore,
    /// The images that will be loaded.
    pub images: Vec<SavedImage>,
    /// The blobs to send, in order, with their lengths.
    pub blobs: Vec<(String, u64)>,
    /// The images that are left out.
    pub left_out: Vec<LeftOut>,
    /// How many different layers the engine has already.
    pub layers_held: usize,
}

impl LoadPlan {
    /// All images of the archive, without the layers that the engine has, and without the images for
    /// which `unwanted` gives a reason.
    pub fn new(
        contents: &Contents,
        held: &Held,
        unwanted: impl Fn(&SavedImage) -> Option<String>,
    ) -> Self {
        let mut plan = Self::empty(contents.image_store);
        let held_blobs = held.blobs(contents);
        let (mut skipped, mut sent) = (HashSet::new(), HashSet::new());
        let mut layers = Vec::new();
        for image in &contents.images {
            let needed = needed(image, contents.image_store, held, &held_blobs);
            let reason = unwanted(image).or_else(|| missing(image, &needed, contents));
            if let Some(reason) = reason {
                plan.left_out.push(LeftOut {
                    id: image.id.clone(),
                    tags: image.tags.clone(),
                    reason,
                });
                continue;
            }
            skipped.extend(image.layer_blobs().map(str::to_owned));
            plan.send(contents, &mut sent, &image.documents);
            layers.extend(needed);
            plan.images.push(image.clone());
        }
        // Documents first: engines read the tar in its order, or all of it before anything else.
        plan.send(contents, &mut sent, &layers);
        plan.layers_held = skipped.difference(&sent).count();
        // An engine takes a parent only from the same stream (moby `validatedParentLinks`).
        forget_missing_parents(&mut plan.images);
        plan
    }

    pub(super) fn empty(image_store: ImageStore) -> Self {
        Self {
            image_store,
            images: Vec::new(),
            blobs: Vec::new(),
            left_out: Vec::new(),
            layers_held: 0,
        }
    }

    pub(super) fn send(
        &mut self,
        contents: &Contents,
        sent: &mut HashSet<String>,
        blobs: &[String],
    ) {
        for blob in blobs {
            if sent.insert(blob.clone()) {
                let size = contents.blobs.get(blob).copied().unwrap_or_default();
                self.blobs.push((blob.clone(), size));
            }
        }
    }

    /// How many bytes of blobs will be sent.
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, size)| size).sum()
    }

    /// The tar, for [`Remote::load`](crate::Remote::load). `open` gives a blob's bytes. It is called
    /// in the order of [`blobs`](Self::blobs), some blobs ahead of the one that is being sent: one that
    /// begins to fetch when it is called, and holds a bounded part, keeps the engine from waiting.
    pub fn stream<B: Pieces>(self, open: impl Fn(&str) -> B + Send + 'static) -> impl Pieces {
        let end = stream::once(async { Ok(Bytes::from_static(&END)) });
        self.entries(open).chain(end)
    }

    /// The tar without its end.
    pub(super) fn entries<B: Pieces>(
        self,
        open: impl Fn(&str) -> B + Send + 'static,
    ) -> impl Pieces {
        let lists = self.lists();
        let lists = stream::iter(lists.into_iter().map(|(name, document)| {
            let mut bytes = file_header(name, document.len() as u64);
            bytes.extend(document);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
            Ok(Bytes::from(bytes))
        }));
        // A call of `open` begins to fetch. `buffered` makes the calls ahead of the blob that is being sent,
        // and keeps their order.
        let blobs = stream::iter(self.blobs)
            .map(move |(name, size)| {
                let content = open(&name).boxed();
                async move { entry(content, name, size) }
            })
            .buffered(OPEN_BLOBS_MAX)
            .flatten();
        lists.chain(blobs)
    }

    /// The documents that say which images there are.
    fn lists(&self) -> Vec<(&'static str, Vec<u8>)> {
        match self.image_store {
            ImageStore::Overlay2 => {
                let items: Vec<Value> = self.images.iter().map(manifest_item).collect();
                vec![(
                    "manifest.json",
                    Value::Array(items).to_string().into_bytes(),
                )]
            }
            ImageStore::Containerd => {
                let manifests: Vec<Value> = self.images.iter().flat_map(descriptors).collect();
                let layout = json!({ "imageLayoutVersion": "1.0.0" });
                let index = json!({
                    "schemaVersion": 2,
                    "mediaType": "application/vnd.oci.image.index.v1+json",
                    "manifests": manifests,
                });
                vec![
                    ("oci-layout", layout.to_string().into_bytes()),
                    ("index.json", index.to_string().into_bytes()),
                ]
            }
        }
    }
}

/// Why an image cannot be loaded whose layers `needed` must be sent; `None` if it can be.
fn missing(image: &SavedImage, needed: &[String], contents: &Contents) -> Option<String> {
    let mut blobs = needed.iter().chain(&image.documents);
    let blob = blobs.find(|blob| !contents.blobs.contains_key(*blob))?;
    Some(format!(
        "{blob}, which it needs, is neither in the archive nor in the engine"
    ))
}

/// The layers that the engine must be sent for this image.
pub(super) fn needed(
    image: &SavedImage,
    image_store: ImageStore,
    held: &Held,
    held_blobs: &HashSet<&str>,
) -> Vec<String> {
    let layers = image.layer_blobs();
    match image_store {
        ImageStore::Overlay2 => {
            let missing = layers
                .zip(image.chain_ids())
                .filter(|(_, chain)| !held.chains.contains(chain));
            missing.map(|(layer, _)| layer.to_owned()).collect()
        }
        ImageStore::Containerd => layers
            .filter(|layer| !held_blobs.contains(layer))
            .map(str::to_owned)
            .collect(),
    }
}

/// An image in `manifest.json`.
fn manifest_item(image: &SavedImage) -> Value {
    let mut item = json!({
        "Config": image.documents[0],
        "RepoTags": image.tags,
        "Layers": image.layer_blobs().collect::<Vec<_>>(),
    });
    if let Some(parent) = &image.parent {
        item["Parent"] = parent.as_str().into();
    }
    item
}

/// An image in `index.json`: one entry for each of its names.
fn descriptors(image: &SavedImage) -> Vec<Value> {
    let plain = image.descriptor.clone().unwrap_or_default();
    if image.tags.is_empty() {
        return vec![plain];
    }
    let named = image.tags.iter().map(|tag| {
        let mut descriptor = plain.clone();
        give_name(&mut descriptor, tag);
        descriptor
    });
    named.collect()
}

/// A blob as an entry of the tar; an error if it is not as long as its header says.
fn entry(content: impl Pieces + Unpin, name: String, size: u64) -> impl Pieces {
    let header = stream::once({
        let header = Bytes::from(file_header(&name, size));
        async move { Ok(header) }
    });
    let failed = name.clone();
    let content = content.map_err(move |source| {
        let blob = failed.clone();
        BoxError::from(StreamError::Blob { blob, source })
    });
    // A blob that is too short would end in the middle of its entry, and one that is too long would run
    // into the next header: the load is broken off before the engine sees either.
    let measured = stream::try_unfold((content, 0), move |(mut content, got)| {
        let blob = name.clone();
        async move {
            let next = content.try_next().await?;
            let got = got + next.as_ref().map_or(0, |bytes| bytes.len() as u64);
            if got > size || next.is_none() && got < size {
                return Err(BoxError::from(StreamError::Length {
                    blob,
                    got,
                    expected: size,
                }));
            }
            Ok(next.map(|bytes| (bytes, (content, got))))
        }
    });
    let zeros = Bytes::from(vec![0; padding(size) as usize]);
    let padding = stream::once(async move { Ok(zeros) });
    header.chain(measured).chain(padding)
}
