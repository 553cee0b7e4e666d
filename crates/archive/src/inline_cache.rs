//! Inline caches of new images, completed with what the parent archive's images knew of the same steps: of a
//! step that came out of the cache, the engine exports less.
//!
//! Images of stages, which we named, are completed in place. The user's images stay as they are, and get a
//! companion: an image with the same layers and a completed configuration. And the records of all that is ours get names
//! of their own, as `larder_docker::streams::told_apart` says why.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use larder_docker::streams::{Contents, Documents, SavedImage, carry_over, told_apart};
use larder_model::archive::Archive;
use larder_model::lineage::Lineage;
use larder_store::{ArchiveReader, ArchiveWriter, Objects};

use crate::builder::stages;
use crate::{ArchiveError, Result};

/// Longer configurations are not looked into: `BuildKit`'s own bound for a cache's records is 1 MiB.
const CONFIGURATION_BYTES_MAX: u64 = 8 << 20;

pub(crate) struct Former<'a> {
    contents: &'a Contents,
    reader: ArchiveReader,
    lineage: &'a Lineage,
}

impl<'a> Former<'a> {
    pub(crate) fn new(
        archive: &Archive,
        contents: &'a Contents,
        lineage: &'a Lineage,
        objects: &Objects,
    ) -> Self {
        Self {
            contents,
            reader: ArchiveReader::new(objects.clone(), Arc::new(archive.clone())),
            lineage,
        }
    }

    /// A configuration with what is known of the same steps. Records of the parent archive that make no sense are left
    /// out: those steps are built again.
    async fn completed(&self, image: &SavedImage, own: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(before) = self.same(image) else {
            return Ok(None);
        };
        let known = self.configuration(before).await?;
        Ok(known.and_then(|known| carry_over(own, &known)))
    }

    /// The companions of images that are taken over. Several images may share one.
    pub(crate) fn companions(&self, kept: &[SavedImage]) -> Vec<SavedImage> {
        let mut ids: HashSet<&str> = kept.iter().map(|image| image.id.as_str()).collect();
        let tags = kept.iter().flat_map(|image| &image.tags);
        tags.filter_map(|tag| self.contents.image(&stages::companion(self.lineage, tag)))
            .filter(|companion| ids.insert(&companion.id))
            .cloned()
            .collect()
    }

    /// The image that knows most of the same steps, unless that is this one.
    fn same(&self, image: &SavedImage) -> Option<&'a SavedImage> {
        let companions = image
            .tags
            .iter()
            .map(|tag| stages::companion(self.lineage, tag));
        let mut names = companions.chain(image.tags.iter().cloned());
        names
            .find_map(|name| self.contents.image(&name))
            .filter(|before| before.id != image.id)
    }

    async fn configuration(&self, image: &SavedImage) -> Result<Option<Vec<u8>>> {
        let blob = &image.documents[0];
        let size = self.contents.blobs.get(blob).copied().unwrap_or_default();
        let stream = self.reader.blob(blob);
        let Some(stream) = stream.filter(|_| size <= CONFIGURATION_BYTES_MAX) else {
            return Ok(None);
        };
        let pieces: Vec<Bytes> = stream.try_collect().await.map_err(ArchiveError::Parent)?;
        Ok(Some(pieces.concat()))
    }
}

/// Completes what was exported, and tells the records of these images apart.
pub(crate) async fn complete(
    contents: &mut Contents,
    documents: &Documents,
    (lineage, former): (&Lineage, Option<&Former<'_>>),
    writer: &mut ArchiveWriter,
) -> Result<()> {
    let users = contents
        .images
        .iter()
        .filter(|image| users_name(image).is_some());
    // Of several images of the user each needs a companion: they have records in common.
    let several = users.count() > 1;
    for at in 0..contents.images.len() {
        let image = &contents.images[at];
        let own = documents.get(&image.documents[0]);
        let (Some(own), Some(first)) = (own, image.tags.first()) else {
            continue;
        };
        let both = match former {
            Some(former) => former.completed(image, own).await?,
            None => None,
        };
        let of = users_name(image);
        if of.is_some() && both.is_none() && !several {
            continue;
        }
        let name = of.map_or_else(|| first.clone(), |of| stages::companion(lineage, of));
        let Some(told) = told_apart(both.as_deref().unwrap_or(own), &name) else {
            continue;
        };
        let added = match of {
            None => contents.configure(at, &told),
            Some(_) => contents.add_like(at, &told, name),
        };
        let Some(name) = added.filter(|name| !writer.keep(name)) else {
            continue;
        };
        let size = told.len() as u64;
        let content = stream::iter([Ok::<_, Infallible>(Bytes::from(told))]);
        writer.blob(&name, size, content).await?;
    }
    Ok(())
}

/// What the user calls an image.
fn users_name(image: &SavedImage) -> Option<&String> {
    image.tags.iter().find(|tag| !stages::is_ours(tag))
}

/// The companions that an archive has. The next build names them as sources too.
pub(crate) fn names(contents: &Contents) -> impl Iterator<Item = &String> {
    let tags = contents.images.iter().flat_map(|image| &image.tags);
    tags.filter(|tag| stages::is_companion(tag))
}
