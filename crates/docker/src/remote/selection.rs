//! What to save of an engine's images.

use std::collections::BTreeSet;

use larder_model::reference::ImageReference;

use super::handle::Remote;
use super::images::ImageSummary;
use crate::error::Result;

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

/// The images that are given as bases, however they are named.
struct Bases {
    /// Normal forms, and ids.
    names: BTreeSet<String>,
    repositories: BTreeSet<String>,
}

impl Bases {
    fn new(bases: &[String]) -> Self {
        Self {
            names: bases.iter().map(|base| normal(base)).collect(),
            repositories: bases.iter().filter_map(|it| repository(it)).collect(),
        }
    }

    fn names(&self, tag: &str) -> bool {
        self.names.contains(&normal(tag))
    }

    /// An image without a name that came from a base's repository: pulled by its digest, or what a tag
    /// named before it moved.
    fn once_named(&self, image: &ImageSummary) -> bool {
        let mut repositories = image.digests.iter().filter_map(|it| repository(it));
        self.names.contains(&image.id) || repositories.any(|it| self.repositories.contains(&it))
    }
}

fn repository(name: &str) -> Option<String> {
    Some(ImageReference::parse(name).ok()?.name())
}

/// Without a digest, which names an image more closely than a tag can. An id stays as it is, though
/// it would pass for a repository `sha256` with a tag.
fn normal(name: &str) -> String {
    let tagged = name.split('@').next().unwrap_or_default();
    match ImageReference::parse(tagged) {
        Ok(reference) if !name.starts_with("sha256:") => reference.or_latest().to_string(),
        _ => name.to_owned(),
    }
}

fn tops(images: &[ImageSummary], bases: &[String]) -> Selection {
    let bases = Bases::new(bases);
    let mut selection = Selection::default();
    for image in images {
        let tags = image.tags.iter().cloned();
        let (base, own): (Vec<_>, Vec<_>) = tags.partition(|tag| bases.names(tag));
        selection.bases.extend(base);
        selection.images.extend(own);
        if image.tags.is_empty() && !bases.once_named(image) {
            selection.images.push(image.id.clone());
        }
    }
    selection
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(number: u8, tags: &[&str], digests: &[&str]) -> ImageSummary {
        ImageSummary {
            id: format!("sha256:{}", number.to_string().repeat(64)),
            parent: None,
            tags: tags.iter().map(ToString::to_string).collect(),
            digests: digests.iter().map(ToString::to_string).collect(),
            created: 0,
            bytes: 0,
        }
    }

    /// A name with a digest.
    fn of(name: &str) -> String {
        format!("{name}@sha256:{}", "a".repeat(64))
    }

    #[test]
    fn bases_are_known_by_any_of_their_names() {
        let images = [
            image(1, &["ruby:3.3"], &[&of("ruby")]),
            image(2, &["app:latest", "node:20"], &[]),
            image(3, &[], &[&of("ruby")]),
            image(4, &[], &[&of("ghcr.io/a/b")]),
            image(5, &[], &[]),
            image(6, &[], &[]),
        ];
        let bases = [
            "docker.io/library/ruby:3.3".to_owned(),
            "node:20".to_owned(),
            of("ghcr.io/a/b:1"),
            images[4].id.clone(),
        ];
        let selection = tops(&images, &bases);
        assert_eq!(selection.images, ["app:latest", &images[5].id]);
        assert_eq!(selection.bases, ["ruby:3.3", "node:20"]);
    }
}
