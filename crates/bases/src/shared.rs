//! What registries said, shared by the machines of a project in its store. A machine that has not asked any
//! registry yet then needs one HEAD for each tag that has not moved.
//!
//! The store is read only for images that this machine has not asked for before, and written to only
//! when a registry said something new. A store that cannot be read or written is a miss.

use std::fmt::Display;
use std::time::Duration;

use larder_local::clock::now_ms;
use larder_model::images::{RememberedImage, merge};
use larder_model::reference::ImageReference;
use larder_registry::{Memory, Target};
use larder_store::{Objects, StoreError, images};

use crate::Project;
use crate::record::Known;

/// The most time that the store is given. Asking registries instead takes less than a second.
const STORE_LIMIT: Duration = Duration::from_secs(2);

/// A project's images in its store.
#[derive(Debug, Clone)]
pub struct Shared {
    objects: Objects,
    project: String,
}

/// What registries said that the store does not have yet.
#[derive(Debug)]
pub struct News {
    shared: Shared,
    images: Vec<RememberedImage>,
    known: Option<Vec<RememberedImage>>,
}

impl Shared {
    /// For a command that needs no store otherwise. Only a store that was chosen is used: what the default
    /// one on this machine could tell, this machine's own memory knows.
    pub fn of(project: &Project) -> Option<Self> {
        let opened = project.store_is_chosen.then(|| project.store.open())?;
        let objects = opened.inspect_err(|error| miss(error)).ok()?;
        Some(Self::new(objects, project))
    }

    /// The project's images in this store.
    pub fn new(objects: Objects, project: &Project) -> Self {
        Self {
            objects,
            project: project.descent.project.clone(),
        }
    }

    /// Copies what the store has to this machine's memory, and returns it.
    pub async fn recall(&self, memory: &Memory) -> Option<Vec<RememberedImage>> {
        let images = self.read().await?;
        for image in &images {
            for document in &image.documents {
                memory.learn(document);
            }
            if let Ok(reference) = ImageReference::parse(&image.name) {
                memory.note_seen(&Target::of(&reference));
            }
        }
        Some(images)
    }

    async fn read(&self) -> Option<Vec<RememberedImage>> {
        in_time(async {
            match images::newest(&self.objects, &self.project, now_ms()).await {
                // A damaged list is as good as none: the next one that is written is newer.
                Err(error) if error.is_damage() => Ok(Vec::new()),
                read => read,
            }
        })
        .await
    }

    /// What of `learnt` is new. `known` is what the store has, where it was read.
    pub fn news(
        &self,
        learnt: &[&Known],
        memory: &Memory,
        known: Option<Vec<RememberedImage>>,
    ) -> Option<News> {
        let images = learnt.iter().filter_map(|known| remembered(known, memory));
        let mut images: Vec<RememberedImage> = images.collect();
        images.retain(|image| !known.iter().flatten().any(|old| old == image));
        (!images.is_empty()).then(|| News {
            shared: self.clone(),
            images,
            known,
        })
    }
}

impl News {
    /// Writes them to the store, before what it has.
    pub async fn publish(self) {
        let known = match self.known {
            Some(known) => known,
            // The new list replaces the old one, so the old one must be read first.
            None => match self.shared.read().await {
                Some(known) => known,
                None => return,
            },
        };
        let all = merge(self.images, known);
        let Shared { objects, project } = &self.shared;
        in_time(images::publish(objects, project, now_ms(), &all)).await;
    }
}

/// What this machine remembers of an image, if it is whole.
fn remembered(known: &Known, memory: &Memory) -> Option<RememberedImage> {
    let digests = &known.digests;
    let named = [&digests.index, &digests.manifest, &digests.config];
    let documents = named.into_iter().flatten();
    let documents = documents.map(|digest| memory.get(digest));
    Some(RememberedImage {
        name: known.reference.to_string(),
        platform: known.platform.to_string(),
        documents: documents.collect::<Option<_>>()?,
    })
}

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    match tokio::time::timeout(STORE_LIMIT, work).await {
        Ok(done) => done.inspect_err(|error| miss(error)).ok(),
        Err(slow) => {
            miss(&slow);
            None
        }
    }
}

fn miss(error: &dyn Display) {
    tracing::debug!(%error, "the store does not help to remember images");
}
