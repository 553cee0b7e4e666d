//! Restoring: the newest archive on the ladder, loaded into the engine but for what that has.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use larder_bases::Record;
use larder_builds::Draft;
use larder_docker::streams::{Contents, Held, LeftOut, LoadPlan, load_in_lanes};
use larder_docker::{ApiError, BoxError};
use larder_local::clock::{ms_since, now_ms, uptime_ms};
use larder_local::people::{Progress, Voice};
use larder_model::archive::Measured;
use larder_model::digest::ArchiveId;
use larder_model::lineage::Lineage;
use larder_model::mark::Fault;
use larder_store::{ArchiveReader, Objects, StoreError};
use serde::Serialize;

use crate::document::{Document, Sources};
use crate::find::{self, Usable};
use crate::note::JobNote;
use crate::stale_bases::{self, MovedBase};
use crate::{Job, Result, build_cache};

/// What a restore is asked for.
pub struct Wanted<'a> {
    /// The builds that come next.
    pub drafts: &'a [Draft],
    /// Restore even if that is known to cost more than it saves.
    pub always: bool,
    /// Where `BuildKit`'s cache is put.
    pub cache: Option<&'a Path>,
}

/// What a restore did.
#[derive(Debug, Default, Serialize)]
pub struct Restored {
    /// The archive; nothing if there is none.
    pub archive: Option<ArchiveId>,
    /// Its line.
    pub lineage: Option<Lineage>,
    /// Whether it was saved beside another of its line, by a job that ran at the same time.
    pub sibling: bool,
    /// How old it is.
    pub age_ms: u64,
    /// How long the build takes on an engine without anything, where a job of the line measured it.
    pub cold_build_ms: Option<u64>,
    /// Why nothing was restored, if so.
    pub skipped: Option<NotWorth>,
    /// Images that were loaded.
    pub images: usize,
    /// Bytes that were sent to the engine, or written to the cache folder.
    pub bytes: u64,
    /// Different layers that the engine had already.
    pub layers_held: usize,
    /// Images that were not loaded.
    pub left_out: Vec<NotLoaded>,
    /// What the next build can use of it.
    pub sources: Sources,
    /// Bytes that came from the store.
    pub fetched_bytes: u64,
    /// How long it took.
    pub ms: u64,
}

/// An image that was not loaded.
#[derive(Debug, Serialize)]
pub struct NotLoaded {
    /// Its name, or its id.
    pub image: String,
    /// Why, as part of a sentence.
    pub reason: String,
}

/// A restore, and what a later save keeps.
pub struct Outcome {
    /// What was done.
    pub restored: Restored,
    /// What the builds depend on today.
    pub today: Option<Record>,
}

/// A restore that is known to cost more than it saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NotWorth {
    /// How long restoring took.
    pub restore_ms: u64,
    /// How much shorter that made the build.
    pub saved_ms: u64,
}

impl Outcome {
    /// What a save in the same job will read.
    pub fn note(outcome: Option<&Self>, job: &Job) -> JobNote {
        let restored = outcome.map(|outcome| &outcome.restored);
        let used =
            restored.filter(|restored| restored.archive.is_some() && restored.skipped.is_none());
        JobNote {
            engine: job.engine.about().id.clone(),
            archive: restored.and_then(|restored| restored.archive),
            restored: used.is_some(),
            restore_ms: used.map(|restored| restored.ms),
            ready_uptime_ms: Some(uptime_ms()),
            plan: outcome.and_then(|outcome| outcome.today.as_ref()?.to_value().ok()),
            ..JobNote::default()
        }
    }
}

/// Restores what the store has for this job. An error says why nothing was loaded.
pub async fn restore(job: &Job, wanted: &Wanted<'_>, voice: &dyn Voice) -> Result<Outcome> {
    let objects = job.objects()?;
    let started = Instant::now();
    let usable = Box::pin(find::newest(job, objects, wanted.drafts, voice)).await?;
    let plan = usable
        .as_ref()
        .and_then(|it| it.found.document.plan.as_ref());
    let before = plan.and_then(Record::from_value);
    let today = stale_bases::today(&job.project, objects, wanted.drafts, before.as_ref(), voice);
    let today = today.await;
    let mut restored = Restored::default();
    if let Some(usable) = &usable {
        let archive = &usable.found.document;
        restored.archive = Some(usable.found.id);
        restored.sibling = archive.sibling;
        restored.lineage = Some(archive.lineage.clone());
        restored.age_ms = now_ms().saturating_sub(archive.created_ms);
        restored.cold_build_ms = archive.measured.build_without_ms;
        restored.skipped = not_worth(&archive.measured).filter(|_| !wanted.always);
        if restored.skipped.is_none() {
            let moved = match (&before, &today) {
                (Some(before), Some(today)) => stale_bases::bases(before, today),
                _ => Vec::new(),
            };
            voice.progress(Progress::Begun("restoring".to_owned()));
            let loaded = load(job, objects, usable, wanted.cache, &moved, &mut restored).await;
            voice.progress(Progress::Over);
            loaded?;
        }
    }
    job.tell_near_trouble(voice);
    restored.ms = ms_since(started);
    Ok(Outcome { restored, today })
}

/// Whether a restore is not worth its time, by what earlier jobs measured.
fn not_worth(measured: &Measured) -> Option<NotWorth> {
    let restore_ms = measured.restore_ms?;
    let saved_ms = measured
        .build_without_ms?
        .saturating_sub(measured.build_with_ms?);
    (restore_ms > saved_ms).then_some(NotWorth {
        restore_ms,
        saved_ms,
    })
}

async fn load(
    job: &Job,
    objects: &Objects,
    usable: &Usable,
    cache_folder: Option<&Path>,
    moved: &[MovedBase],
    restored: &mut Restored,
) -> Result<()> {
    let reader = job.reader(objects, usable.found.document.clone());
    let document = &usable.document;
    if let Some(images) = document.images()? {
        if let Err(error) = load_images(job, &images, &reader, moved, restored).await {
            if is_damage(&error) {
                let (reader, why) = (job.project.reader(), error.to_string());
                let marking = reader.mark(objects, usable.found.id, Fault::Damage, &why);
                marking.await;
            }
            return Err(error.into());
        }
        restored.sources.images = loadable(document, &images, restored);
    }
    if let (Some(kept), Some(folder)) = (&document.cache, cache_folder) {
        restored.bytes += build_cache::restore(kept, &reader, folder).await?;
        restored.sources.cache = true;
    }
    restored.fetched_bytes = reader.traffic().bytes;
    Ok(())
}

/// Whether the archive is damaged. A load reads its blobs from the store, so the store's error is then among
/// the causes.
fn is_damage(error: &ApiError) -> bool {
    let ApiError::Source(source) = error else {
        return false;
    };
    let mut cause: Option<&(dyn Error + 'static)> = Some(&**source);
    while let Some(error) = cause {
        let from_store = error.downcast_ref::<StoreError>();
        if from_store.is_some_and(StoreError::is_damage) {
            return true;
        }
        cause = error.source();
    }
    false
}

async fn load_images(
    job: &Job,
    images: &Contents,
    reader: &ArchiveReader,
    moved: &[MovedBase],
    restored: &mut Restored,
) -> Result<(), ApiError> {
    let held = Held::ask(&job.engine).await?;
    let plan = LoadPlan::new(images, &held, |image| stale_bases::unwanted(image, moved));
    restored.images = plan.images.len();
    restored.bytes = plan.bytes();
    restored.layers_held = plan.layers_held;
    restored.left_out = plan.left_out.iter().map(NotLoaded::of).collect();
    if plan.images.is_empty() {
        return Ok(());
    }
    let reader = reader.clone();
    load_in_lanes(&job.engine, plan.lanes(images, &held), move |name| {
        let Some(blob) = reader.blob(name) else {
            let path = name.to_owned();
            let missing = StoreError::Missing { path };
            return stream::iter([Err(BoxError::from(missing))]).boxed();
        };
        blob.map_err(BoxError::from).boxed()
    })
    .await
}

impl NotLoaded {
    fn of(left_out: &LeftOut) -> Self {
        let name = left_out.tags.first().unwrap_or(&left_out.id);
        Self {
            image: name.clone(),
            reason: left_out.reason.clone(),
        }
    }
}

/// Those of the archive's sources that the engine has now.
fn loadable(document: &Document, images: &Contents, restored: &Restored) -> Vec<String> {
    let sources = document.sources.images.iter().filter(|name| {
        let image = images.image(name);
        image.is_some_and(|image| {
            let mut left = restored.left_out.iter();
            !left.any(|left| left.image == image.id || image.tags.contains(&left.image))
        })
    });
    sources.cloned().collect()
}
