//! Saving: the engine's export taken apart as it arrives; what the store holds is drained.

use std::path::{Path, PathBuf};
use std::time::Instant;

use larder_docker::Chains;
use larder_docker::streams::{Contents, SavedImage};
use larder_model::archive::{Archive, Measured, Statistics};
use larder_model::digest::ArchiveId;
use larder_model::reference::ImageReference;
use larder_store::catalog::Found;
use larder_store::{ArchiveFacts, ArchiveWriter};
use serde::Serialize;

use super::carried::Former;
use super::content::{Content, Sources};
use super::door::Door;
use super::export::Export;
use super::find::Usable;
use super::note::JobNote;
use super::{cache, carried, kept, stages, text};
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::session::facts::now_ms;

/// What is to be saved.
#[derive(Debug, Clone, Default)]
pub struct What {
    /// Names and ids, for the engine's export.
    pub images: Vec<String>,
    /// A folder with `BuildKit`'s cache.
    pub cache: Option<PathBuf>,
    /// What the next build uses of it.
    pub sources: Sources,
}

/// What a save did.
#[derive(Debug, Serialize)]
pub struct Saved {
    /// The archive; nothing if the job changed nothing.
    pub archive: Option<ArchiveId>,
    /// The archive that it was compared with.
    pub parent: Option<ArchiveId>,
    /// Whether another job had moved the lineage's head meanwhile.
    pub sibling: bool,
    /// Images in it.
    pub images: usize,
    /// What it cost.
    pub statistics: Statistics,
    /// How long it took.
    pub ms: u64,
}

impl What {
    /// These images; of an engine whose classic builder finds steps by their parents, those too.
    pub async fn named(door: &Door, names: &[String]) -> Done<Self> {
        let mut images = Vec::new();
        let mut ids = Vec::new();
        for name in names {
            let found = door.engine.inspect(name).await.map_err(Failure::failed)?;
            let Some(found) = found else {
                return Err(Failure::input(format!(
                    "the engine has no image {name:?}; `docker images` lists those it has"
                )));
            };
            let full = full_name(name, &found.id);
            let again = full == found.id && ids.contains(&found.id);
            if !again && !images.contains(&full) {
                images.push(full);
            }
            ids.push(found.id);
        }
        let all = if chains(door) == Chains::Parents {
            let all = door.engine.with_parents(images.clone()).await;
            all.map_err(Failure::failed)?
        } else {
            images.clone()
        };
        let sources = Sources {
            images,
            cache: false,
        };
        Ok(Self {
            images: all,
            cache: None,
            sources,
        })
    }

    /// Every image of the engine but the bases.
    pub async fn everything(door: &Door, bases: &[String]) -> Done<Self> {
        let selected = door.engine.select(bases, chains(door)).await;
        let mut selected = selected.map_err(Failure::failed)?;
        // Those of images that were restored: the ones that are saved get new ones.
        selected.images.retain(|name| !stages::is_companion(name));
        let tops = door.engine.images(false).await.map_err(Failure::failed)?;
        let is_top = |name: &&String| {
            let of = |image: &larder_docker::ImageSummary| {
                image.id == **name || image.tags.contains(*name)
            };
            tops.iter().any(of)
        };
        let mut images: Vec<String> = selected.images.iter().filter(is_top).cloned().collect();
        // Images of the same second are listed in any order.
        images.sort();
        Ok(Self {
            sources: Sources {
                images,
                cache: false,
            },
            images: selected.images,
            cache: None,
        })
    }

    /// Adds a folder with `BuildKit`'s cache.
    pub fn use_cache(&mut self, folder: Option<&Path>) {
        self.cache = folder.map(Path::to_owned);
        self.sources.cache = folder.is_some();
    }

    fn is_empty(&self) -> bool {
        self.images.is_empty() && self.cache.is_none()
    }
}

/// An image's name as the engine lists it, with its tag; its whole id if it was named by that.
fn full_name(name: &str, id: &str) -> String {
    let by_id = |start: &str| {
        id.strip_prefix("sha256:")
            .is_some_and(|hex| hex.starts_with(start))
    };
    if by_id(name.strip_prefix("sha256:").unwrap_or(name)) {
        return id.to_owned();
    }
    let parsed = ImageReference::parse(name);
    parsed.map_or_else(|_| name.to_owned(), |it| it.or_latest().familiar())
}

fn chains(door: &Door) -> Chains {
    if door.engine.about().trusts_loaded_parents() {
        Chains::Parents
    } else {
        Chains::Tops
    }
}

/// Stores and publishes. `plan` is what the job's builds depended on.
pub async fn save(
    door: &Door,
    parent: Option<Usable>,
    what: &What,
    note: &JobNote,
    plan: Option<serde_json::Value>,
    report: &Report,
) -> Result<Saved, String> {
    if what.is_empty() {
        return Err("the engine has no image to save; build one first, or name one".to_owned());
    }
    let started = Instant::now();
    let (found, content) = match parent {
        Some(usable) => (Some(usable.found), Some(usable.content)),
        None => (None, None),
    };
    let former = content.as_ref().map(Content::images).transpose()?.flatten();
    let mut writer = ArchiveWriter::new(door.objects.clone(), found.clone());
    let images = match &what.images[..] {
        [] => None,
        names => {
            let document = found.as_ref().map(|found| &found.document);
            let parent = document.zip(former.as_ref());
            Some(take_images(door, names, parent, &mut writer, report).await?)
        }
    };
    let kept = match &what.cache {
        Some(folder) => Some(take_cache(folder, &mut writer).await?),
        None => None,
    };
    let count = images.as_ref().map_or(0, |images| images.images.len());
    let mut sources = what.sources.clone();
    let companions = images.iter().flat_map(carried::names).cloned();
    sources.images.extend(companions);
    let new = Content::new(images.as_ref(), kept, sources).to_value();
    let ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let parent_id = found.as_ref().map(|found| found.id);
    if let Some(found) = found.as_ref().filter(|found| unchanged(found, door, &new)) {
        return Ok(Saved {
            archive: None,
            parent: parent_id,
            sibling: false,
            images: count,
            statistics: Statistics {
                blob_bytes: found.document.statistics.blob_bytes,
                ..Statistics::default()
            },
            ms: ms(),
        });
    }
    let measured = measured(found.as_ref().map(|found| &found.document), note);
    let facts = ArchiveFacts {
        lineage: door.lineage.clone(),
        created_ms: now_ms(),
        engine: door.engine_record(),
        larder: env!("CARGO_PKG_VERSION").to_owned(),
        contents: new,
        measured,
        plan,
    };
    let published = writer.finish(facts).await.map_err(text)?;
    Ok(Saved {
        archive: Some(published.id),
        parent: parent_id,
        sibling: published.document.sibling,
        images: count,
        statistics: published.document.statistics,
        ms: ms(),
    })
}

/// What jobs of this lineage measured, with what this one did.
fn measured(parent: Option<&Archive>, note: &JobNote) -> Measured {
    let mut measured = parent.map_or_else(Measured::default, |parent| parent.measured);
    let since_ready = || Some(now_ms().saturating_sub(note.ready_ms?));
    let Some(build_ms) = note.build_ms.or_else(since_ready) else {
        return measured;
    };
    if note.restored {
        measured.restore_ms = note.restore_ms;
        measured.build_with_ms = Some(build_ms);
    } else {
        measured.build_without_ms = Some(build_ms);
    }
    measured
}

fn unchanged(parent: &Found<Archive>, door: &Door, new: &serde_json::Value) -> bool {
    let same = || in_order(&parent.document.contents) == in_order(new);
    parent.document.lineage == door.lineage && same()
}

/// Contents with their images in the order of their ids: engines export them in any order.
fn in_order(contents: &serde_json::Value) -> serde_json::Value {
    let mut contents = contents.clone();
    if let Some(images) = contents["images"]["images"].as_array_mut() {
        images.sort_by_key(|image| image["id"].to_string());
    }
    contents
}

/// Takes over what the parent archive holds, and the rest from the engine.
async fn take_images(
    door: &Door,
    names: &[String],
    parent: Option<(&Archive, &Contents)>,
    writer: &mut ArchiveWriter,
    report: &Report,
) -> Result<Contents, String> {
    let parent = parent.filter(|(_, former)| former.image_store == door.image_store());
    let export = Export {
        engine: &door.engine,
        chains: chains(door),
        former: parent.map(|(_, former)| former),
        report,
    };
    let Some((archive, former)) = parent else {
        return Ok(export.take(names, writer).await?.0);
    };
    let is_held = |name: &str, size| writer.has(name) == Some(size);
    let split = kept::split(&door.engine, chains(door), names, former, is_held).await;
    let mut split = split.map_err(text)?;
    let before = Former::new(archive, former, &door.lineage, &door.objects);
    split.kept.extend(before.companions(&split.kept));
    for blob in split.kept.iter().flat_map(SavedImage::blobs) {
        writer.keep(blob);
    }
    let kept = former.only(split.kept).map_err(text)?;
    if split.export.is_empty() {
        return Ok(kept);
    }
    let (mut new, documents) = export.take(&split.export, writer).await?;
    before.carry_on(&mut new, &documents, writer).await?;
    kept.and(new).map_err(text)
}

async fn take_cache(
    folder: &Path,
    writer: &mut ArchiveWriter,
) -> Result<super::content::CacheFolder, String> {
    cache::save(folder, writer)
        .await
        .map_err(|error| format!("the build cache in {}: {error}", folder.display()))
}
