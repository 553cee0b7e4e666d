//! What to save of an engine's images.

use std::collections::BTreeSet;

use larder_model::reference::ImageReference;

use super::Remote;
use super::error::Result;
use super::images::ImageSummary;

/// Whether the images between an image and its base are saved too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chains {
    /// Only the images that are named or stand on top.
    Tops,
    /// Their parents too, base images included (without their names): what the classic builder
    /// of an engine that trusts loaded parents finds its steps by.
    Parents,
}

/// What to ask an engine's export for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names, and ids of what has none: for [`Remote::export`].
    pub images: Vec<String>,
    /// The names of images that were left out as bases.
    pub bases: Vec<String>,
}

impl Remote {
    /// Every image that has a name or on which no other stands, but for `bases`, which whoever needs
    /// them gets from their registry. On an engine that was loaded into, that includes what was loaded
    /// and is no longer needed: who knows what a build made saves just that.
    pub async fn select(&self, bases: &[String], chains: Chains) -> Result<Selection> {
        let mut selection = tops(&self.images(false).await?, bases);
        if chains == Chains::Parents {
            selection.images = self.with_parents(selection.images).await?;
        }
        Ok(selection)
    }

    /// The same images, and all that they were made from by the classic builder here, down to their
    /// bases: [`Chains::Parents`].
    pub async fn with_parents(&self, mut images: Vec<String>) -> Result<Vec<String>> {
        let mut parents = BTreeSet::new();
        for image in &images {
            let steps = self.history(image).await?;
            // The first step's image is the image itself.
            parents.extend(steps.into_iter().skip(1).filter_map(|step| step.id));
        }
        let known: BTreeSet<String> = images.iter().cloned().collect();
        images.extend(parents.difference(&known).cloned());
        Ok(images)
    }
}

fn tops(images: &[ImageSummary], bases: &[String]) -> Selection {
    let normal = |name: &str| {
        ImageReference::parse(name).map_or_else(
            // An id.
            |_| name.to_owned(),
            |reference| reference.or_latest().to_string(),
        )
    };
    let bases: BTreeSet<String> = bases.iter().map(|base| normal(base)).collect();
    let mut selection = Selection::default();
    for image in images {
        let (base, own): (Vec<&String>, Vec<&String>) = image
            .tags
            .iter()
            .partition(|tag| bases.contains(&normal(tag)));
        selection.bases.extend(base.iter().copied().cloned());
        selection.images.extend(own.iter().copied().cloned());
        let unnamed = base.is_empty() && own.is_empty();
        if unnamed && !bases.contains(&image.id) {
            selection.images.push(image.id.clone());
        }
    }
    selection
}
