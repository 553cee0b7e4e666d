//! Restoring: the newest archive on the ladder, loaded into the engine but for what that has.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use larder_builds::Draft;
use larder_engine::api::{ApiError, BoxError};
use larder_engine::archive::{Contents, Held, LeftOut, LoadPlan, load_in_lanes};
use larder_model::archive::{Archive, Measured};
use larder_model::digest::ArchiveId;
use larder_model::lineage::Lineage;
use larder_store::{ArchiveReader, StoreError};
use serde::Serialize;

use super::content::{Content, Sources};
use super::door::Door;
use super::find::{self, Usable};
use super::{cache, moved};
use crate::plan::record::Record;
use crate::report::Report;
use crate::session::facts::now_ms;
use crate::settings::Settings;

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
    /// How old it is.
    pub age_ms: u64,
    /// Why nothing was restored, if so.
    pub skipped: Option<String>,
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

/// Restores what the store has for this job. An error says why nothing was loaded.
pub async fn restore(
    door: &Door,
    settings: &Settings,
    wanted: &Wanted<'_>,
    report: &Report,
) -> Result<Outcome, String> {
    if let Some(why) = &door.trouble {
        return Err(why.clone());
    }
    let started = Instant::now();
    let usable = find::newest(&door.objects, &door.lineage, &settings.fallback, report).await;
    let usable = usable.map_err(|error| format!("the store cannot be read: {error}"))?;
    let before = usable
        .as_ref()
        .and_then(|usable| record(&usable.found.document));
    let drafts = wanted.drafts;
    let today = moved::today(settings, &door.objects, drafts, before.as_ref(), report).await;
    let mut restored = Restored::default();
    if let Some(usable) = &usable {
        let document = &usable.found.document;
        restored.archive = Some(usable.found.id);
        restored.lineage = Some(document.lineage.clone());
        restored.age_ms = now_ms().saturating_sub(document.created_ms);
        restored.skipped = (!wanted.always)
            .then(|| not_worth(&document.measured))
            .flatten();
        if restored.skipped.is_none() {
            let moved = before.as_ref().zip(today.as_ref());
            let moved = moved.map_or_else(Vec::new, |(before, today)| moved::bases(before, today));
            report.begin("restoring");
            let loaded = load(door, usable, wanted.cache, &moved, &mut restored).await;
            report.clear_progress();
            loaded?;
        }
    }
    restored.ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Outcome { restored, today })
}

/// The plans of an archive's job.
pub fn record(archive: &Archive) -> Option<Record> {
    Record::from_value(archive.plan.as_ref()?)
}

/// Why a restore is not worth its time, by what earlier jobs measured.
fn not_worth(measured: &Measured) -> Option<String> {
    let cost = measured.restore_ms?;
    let saved = measured
        .build_without_ms?
        .saturating_sub(measured.build_with_ms?);
    let seconds = crate::report::seconds_of;
    (cost > saved).then(|| {
        format!(
            "restoring took {} and made the build {} shorter; --always restores all the same",
            seconds(cost),
            seconds(saved)
        )
    })
}

async fn load(
    door: &Door,
    usable: &Usable,
    cache_folder: Option<&Path>,
    moved: &[moved::MovedBase],
    restored: &mut Restored,
) -> Result<(), String> {
    let reader = door.reader(usable.found.document.clone());
    let content = &usable.content;
    if let Some(images) = content.images()? {
        let loaded = load_images(door, &images, &reader, moved, restored).await;
        if let Err(Fault { why, damage }) = loaded {
            if damage {
                find::mark(&door.objects, usable.found.id, &why).await;
            }
            return Err(why);
        }
        restored.sources.images = loadable(content, &images, restored);
    }
    if let (Some(kept), Some(folder)) = (&content.cache, cache_folder) {
        restored.bytes += cache::restore(kept, &reader, folder)
            .await
            .map_err(|error| format!("the build cache is not restored: {error}"))?;
        restored.sources.cache = true;
    }
    restored.fetched_bytes = reader.traffic().bytes;
    Ok(())
}

/// Why nothing was loaded.
struct Fault {
    why: String,
    /// Whether the archive itself is at fault.
    damage: bool,
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = match &error {
            ApiError::Source(source) => Some(&**source),
            _ => None,
        };
        let mut damage = false;
        while let Some(error) = cause {
            damage |= error
                .downcast_ref::<StoreError>()
                .is_some_and(StoreError::is_damage);
            cause = error.source();
        }
        Self {
            why: error.to_string(),
            damage,
        }
    }
}

async fn load_images(
    door: &Door,
    images: &Contents,
    reader: &ArchiveReader,
    moved: &[moved::MovedBase],
    restored: &mut Restored,
) -> Result<(), Fault> {
    let held = Held::ask(&door.engine).await?;
    let plan = LoadPlan::new(images, &held, |image| moved::unwanted(image, moved));
    restored.images = plan.images().len();
    restored.bytes = plan.bytes();
    restored.layers_held = plan.layers_held;
    restored.left_out = plan.left_out.iter().map(not_loaded).collect();
    if plan.images().is_empty() {
        return Ok(());
    }
    let reader = reader.clone();
    let open = move |name: &str| {
        let missing = || StoreError::Missing {
            path: name.to_owned(),
        };
        reader.blob(name).map_or_else(
            || stream::iter([Err(BoxError::from(missing()))]).boxed(),
            |blob| blob.map_err(BoxError::from).boxed(),
        )
    };
    load_in_lanes(&door.engine, plan.lanes(images, &held), open).await?;
    Ok(())
}

fn not_loaded(left_out: &LeftOut) -> NotLoaded {
    let name = left_out.tags.first().unwrap_or(&left_out.id);
    NotLoaded {
        image: name.clone(),
        reason: left_out.reason.clone(),
    }
}

/// The sources that the engine has now.
fn loadable(content: &Content, images: &Contents, restored: &Restored) -> Vec<String> {
    let absent = |name: &str| {
        let image = images.image(name);
        image.is_none_or(|image| {
            let names =
                |left: &NotLoaded| left.image == image.id || image.tags.contains(&left.image);
            restored.left_out.iter().any(names)
        })
    };
    let sources = content.sources.images.iter();
    sources.filter(|name| !absent(name)).cloned().collect()
}
