//! What an engine has already of an archive.

use std::collections::HashSet;

use super::image_set::{Contents, SavedImage, chain_ids};
use crate::error::ApiError;
use crate::image_store::ImageStore;
use crate::remote::Remote;

/// The layers and images that need not be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Images by id; of a graph driver only those that have a name or stand on top.
    pub images: HashSet<String>,
    /// Layers by chain id: a graph driver's key, which names a layer together with all below it.
    pub chains: HashSet<String>,
}

impl Held {
    /// Asks the engine. One request for the list, and on a graph driver one for each image.
    pub async fn ask(engine: &Remote) -> Result<Self, ApiError> {
        let mut held = Self::default();
        let graph_driver = engine.about().image_store.kind() == ImageStore::Overlay2;
        // The layers below an image are its own: no other image of a graph driver need be looked at.
        for image in engine.images(!graph_driver).await? {
            if graph_driver {
                // One that is gone meanwhile holds nothing.
                let looked = engine.inspect(&image.id).await?;
                held.chains
                    .extend(chain_ids(&looked.map(|it| it.diff_ids).unwrap_or_default()));
            }
            held.images.insert(image.id);
        }
        Ok(held)
    }

    /// The blobs of images that the engine holds whole: containerd's store keeps them as they came.
    pub(super) fn blobs<'a>(&self, contents: &'a Contents) -> HashSet<&'a str> {
        let held = contents
            .images
            .iter()
            .filter(|image| self.images.contains(&image.id));
        held.flat_map(SavedImage::layer_blobs).collect()
    }
}
