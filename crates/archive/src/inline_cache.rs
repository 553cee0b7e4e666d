//! Inline caches of new images, completed with what the parent archive's images knew of the same steps: of a
//! step that came out of the cache, the engine exports less.
//!
//! Images of stages, which we named, are completed in place. The user's images stay as they are, and get a
//! companion: an image with the same layers and a completed configuration.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use larder_docker::streams::{Contents, Documents, SavedImage, carry_over};
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

    /// Completes what was exported. Records of the parent archive that make no sense are left out: those steps
    /// are built again.
    pub(crate) async fn carry_on(
        &self,
        contents: &mut Contents,
        documents: &Documents,
        writer: &mut ArchiveWriter,
    ) -> Result<()> {
        for at in 0..contents.images.len() {
            let image = &contents.images[at];
            let Some(before) = self.same(image) else {
                continue;
            };
            let Some(configuration) = documents.get(&image.documents[0]) else {
                continue;
            };
            let known = self.configuration(before).await?;
            let Some(both) = known.and_then(|known| carry_over(configuration, &known)) else {
                continue;
            };
            let added = match image.tags.iter().find(|tag| !stages::is_ours(tag)) {
                None => contents.configure(at, &both),
                Some(of) => {
                    let companion = stages::companion(self.lineage, of);
                    contents.add_like(at, &both, companion)
                }
            };
            let Some(name) = added.filter(|name| !writer.keep(name)) else {
                continue;
            };
            let size = both.len() as u64;
            let content = stream::iter([Ok::<_, Infallible>(Bytes::from(both))]);
            writer.blob(&name, size, content).await?;
        }
        Ok(())
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

/// The companions that an archive has. The next build names them as sources too.
pub(crate) fn names(contents: &Contents) -> impl Iterator<Item = &String> {
    let tags = contents.images.iter().flat_map(|image| &image.tags);
    tags.filter(|tag| stages::is_companion(tag))
}
