//! Saving: what is saved, what the parent archive already has, and the new archive.

use std::path::{Path, PathBuf};
use std::time::Instant;

use larder_bases::Record;
use larder_builds::Draft;
use larder_docker::streams::{Contents, SavedImage};
use larder_docker::{Chains, ImageStore, ImageSummary};
use larder_local::clock::{ms_since, now_ms, uptime_ms};
use larder_local::people::Voice;
use larder_model::archive::{Archive, Measured, Statistics};
use larder_model::digest::ArchiveId;
use larder_model::dockerfile::ImageConfigs;
use larder_model::reference::ImageReference;
use larder_store::catalog::Found;
use larder_store::{ArchiveFacts, ArchiveWriter, Objects};
use larder_upkeep::gc;
use serde::Serialize;
use serde_json::Value;

use crate::builder::stages;
use crate::document::{Document, Sources};
use crate::export::{self, Export};
use crate::find::{self, Usable};
use crate::inline_cache::{self, Former};
use crate::note::JobNote;
use crate::{ArchiveError, Job, Result, build_cache, stale_bases, unchanged};

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
    pub async fn named(job: &Job, names: &[String]) -> Result<Self> {
        let mut images = Vec::new();
        let mut ids = Vec::new();
        for name in names {
            let Some(found) = job.engine.inspect(name).await? else {
                return Err(ArchiveError::NoSuchImage(name.clone()));
            };
            let full = full_name(name, &found.id);
            let again = full == found.id && ids.contains(&found.id);
            if !again && !images.contains(&full) {
                images.push(full);
            }
            ids.push(found.id);
        }
        let all = match job.chains() {
            Chains::Parents => job.engine.with_parents(images.clone()).await?,
            Chains::Tops => images.clone(),
        };
        Self::images(job, all, images).await
    }

    /// Every image of the engine but the bases.
    pub async fn everything(job: &Job, bases: &[String]) -> Result<Self> {
        let mut selected = job.engine.select(bases, job.chains()).await?;
        // Companions were restored with their images; the images that are saved get new ones.
        selected.images.retain(|name| !stages::is_companion(name));
        let tops = job.engine.images(false).await?;
        let mut sources: Vec<String> = selected
            .images
            .iter()
            .filter(|name| tops.iter().any(|top| is_called(top, name)))
            .cloned()
            .collect();
        // Images of the same second are listed in any order.
        sources.sort();
        Self::images(job, selected.images, sources).await
    }

    /// Without the images that have no layers: there is nothing of them to save, and a graph driver refuses
    /// to export them and all that is asked for with them (moby `image/tarexport/save.go`, `saveImage`:
    /// "empty export"). The classic builder makes one of each instruction between `FROM scratch` and the
    /// first `COPY`.
    async fn images(job: &Job, mut images: Vec<String>, mut sources: Vec<String>) -> Result<Self> {
        if job.image_store() == ImageStore::Overlay2 {
            let mut empty = Vec::new();
            for name in &images {
                let image = job.engine.inspect(name).await?;
                if image.is_some_and(|image| image.diff_ids.is_empty()) {
                    empty.push(name.clone());
                }
            }
            for list in [&mut images, &mut sources] {
                list.retain(|name| !empty.contains(name));
            }
        }
        Ok(Self {
            images,
            cache: None,
            sources: Sources {
                images: sources,
                cache: false,
            },
        })
    }

    /// Adds a folder with `BuildKit`'s cache.
    pub fn use_cache(&mut self, folder: Option<&Path>) {
        self.cache = folder.map(Path::to_owned);
        self.sources.cache = folder.is_some();
    }

    /// The same with these images alone.
    fn only(&self, images: &[String]) -> Self {
        let mut rest = self.clone();
        for list in [&mut rest.images, &mut rest.sources.images] {
            list.retain(|name| images.contains(name));
        }
        rest
    }

    fn is_empty(&self) -> bool {
        self.images.is_empty() && self.cache.is_none()
    }
}

fn is_called(image: &ImageSummary, name: &String) -> bool {
    image.id == *name || image.tags.contains(name)
}

/// The names of the base images of a job's builds. They are not saved: their registries have them.
pub fn bases(drafts: &[Draft], note: &JobNote) -> Vec<String> {
    let noted = note.plan.as_ref().and_then(Record::from_value);
    let plans = noted.map_or_else(
        || larder_builds::plans(drafts, &ImageConfigs::new()).unwrap_or_default(),
        |record| record.plans,
    );
    let images = plans.iter().flat_map(|named| &named.plan.images);
    images.map(|image| image.reference.to_string()).collect()
}

/// What the job's builds depend on, for its archive: as an earlier command of the job noted it, else as it
/// is known now.
pub async fn plan(job: &Job, drafts: &[Draft], note: &JobNote, voice: &dyn Voice) -> Option<Value> {
    if note.plan.is_some() {
        return note.plan.clone();
    }
    let objects = job.objects().ok()?;
    let today = stale_bases::today(&job.project, objects, drafts, None, voice).await;
    today?.to_value().ok()
}

/// An image's name as the engine lists it, with its tag; its whole id if it was named by that.
fn full_name(name: &str, id: &str) -> String {
    let start = name.strip_prefix("sha256:").unwrap_or(name);
    let hex = id.strip_prefix("sha256:");
    if hex.is_some_and(|hex| hex.starts_with(start)) {
        return id.to_owned();
    }
    let parsed = ImageReference::parse(name);
    parsed.map_or_else(|_| name.to_owned(), |it| it.or_latest().familiar())
}

/// Stores and publishes, and forgets the job's note. `plan` is what the job's builds depended on. One image that
/// cannot be exported does not keep the others from being saved.
pub async fn save(
    job: &Job,
    what: &What,
    note: &JobNote,
    plan: Option<Value>,
    voice: &dyn Voice,
) -> Result<Saved> {
    let error = match save_all(job, what, note, plan.clone(), voice).await {
        Err(error) if error.is_of_export() && what.images.len() > 1 => error,
        done => return done,
    };
    let rest = what.only(&export::whole(job, &what.images, voice).await?);
    if rest.images.is_empty() || rest.images.len() == what.images.len() {
        return Err(error);
    }
    save_all(job, &rest, note, plan, voice).await
}

async fn save_all(
    job: &Job,
    what: &What,
    note: &JobNote,
    plan: Option<Value>,
    voice: &dyn Voice,
) -> Result<Saved> {
    let objects = job.objects()?;
    let parent = find::parent(job, objects, note.archive, voice).await?;
    // What it names may be damaged: everything is stored again, and what is damaged is replaced.
    let parent = parent.filter(|parent| parent.is_trusted);
    if what.is_empty() {
        return Err(ArchiveError::NothingToSave);
    }
    let started = Instant::now();
    let (found, former) = match parent {
        Some(Usable {
            found, document, ..
        }) => (Some(found), document.images()?),
        None => (None, None),
    };
    let mut save = Save {
        job,
        objects,
        writer: ArchiveWriter::new(objects.clone(), found.clone()),
        voice,
    };
    let (images, document) = save.contents(what, found.as_ref(), former.as_ref()).await?;
    let new = document.to_value();
    let mut saved = Saved {
        archive: None,
        parent: found.as_ref().map(|found| found.id),
        sibling: false,
        images,
        statistics: Statistics::default(),
        ms: 0,
    };
    if let Some(found) = found.as_ref().filter(|found| unchanged(found, job, &new)) {
        saved.statistics.blob_bytes = found.document.statistics.blob_bytes;
    } else {
        let facts = ArchiveFacts {
            lineage: job.lineage.clone(),
            created_ms: now_ms(),
            engine: job.engine_record(),
            larder: env!("CARGO_PKG_VERSION").to_owned(),
            contents: new,
            measured: measured(found.as_ref().map(|found| &found.document), note),
            plan,
        };
        let published = Box::pin(save.writer.finish(facts)).await?;
        Box::pin(gc::leave_newest(objects, voice)).await;
        saved.archive = Some(published.id);
        saved.sibling = published.document.sibling;
        saved.statistics = published.document.statistics;
    }
    job.tell_near_trouble(voice);
    saved.ms = ms_since(started);
    job.note.remove(note);
    Ok(saved)
}

/// What jobs of this lineage measured, with what this one did.
fn measured(parent: Option<&Archive>, note: &JobNote) -> Measured {
    let mut measured = parent.map_or_else(Measured::default, |parent| parent.measured);
    let ready = note.ready_uptime_ms;
    let since_ready = ready.and_then(|ready| uptime_ms().checked_sub(ready));
    let Some(build_ms) = note.build_ms.or(since_ready) else {
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

fn unchanged(parent: &Found<Archive>, job: &Job, new: &Value) -> bool {
    parent.document.lineage == job.lineage && in_order(&parent.document.contents) == in_order(new)
}

/// Contents with their images in the order of their ids: engines export them in any order.
fn in_order(contents: &Value) -> Value {
    let mut contents = contents.clone();
    if let Some(images) = contents["images"]["images"].as_array_mut() {
        images.sort_by_key(|image| image["id"].to_string());
    }
    contents
}

struct Save<'a> {
    job: &'a Job,
    objects: &'a Objects,
    writer: ArchiveWriter,
    voice: &'a dyn Voice,
}

impl Save<'_> {
    /// Stores what is to be saved, but for what the parent archive holds: how many images, and all that the
    /// archive will hold.
    async fn contents(
        &mut self,
        what: &What,
        found: Option<&Found<Archive>>,
        former: Option<&Contents>,
    ) -> Result<(usize, Document)> {
        let images = if what.images.is_empty() {
            None
        } else {
            let parent = found.map(|found| &found.document).zip(former);
            Some(self.images(&what.images, parent).await?)
        };
        let cache = match &what.cache {
            Some(folder) => Some(build_cache::save(folder, &mut self.writer).await?),
            None => None,
        };
        let mut sources = what.sources.clone();
        let companions = images.iter().flat_map(inline_cache::names);
        sources.images.extend(companions.cloned());
        let count = images.as_ref().map_or(0, |images| images.images.len());
        Ok((count, Document::new(images.as_ref(), cache, sources)))
    }

    /// Takes over what the parent archive holds, and the rest from the engine.
    async fn images(
        &mut self,
        names: &[String],
        parent: Option<(&Archive, &Contents)>,
    ) -> Result<Contents> {
        let job = self.job;
        let parent = parent.filter(|(_, former)| former.image_store == job.image_store());
        let export = Export {
            engine: &job.engine,
            chains: job.chains(),
            former: parent.map(|(_, former)| former),
            voice: self.voice,
        };
        let writer = &mut self.writer;
        let Some((archive, former)) = parent else {
            let (mut new, documents) = export.take(names, writer).await?;
            inline_cache::complete(&mut new, &documents, (&job.lineage, None), writer).await?;
            return Ok(new);
        };
        let is_held = |name: &str, size| writer.has(name) == Some(size);
        let mut split = unchanged::split(&job.engine, job.chains(), names, former, is_held).await?;
        let before = Former::new(archive, former, &job.lineage, self.objects);
        split.kept.extend(before.companions(&split.kept));
        for blob in split.kept.iter().flat_map(SavedImage::blobs) {
            writer.keep(blob);
        }
        let kept = former.only(split.kept)?;
        if split.export.is_empty() {
            return Ok(kept);
        }
        let (mut new, documents) = export.take(&split.export, writer).await?;
        let known = (&job.lineage, Some(&before));
        inline_cache::complete(&mut new, &documents, known, writer).await?;
        Ok(kept.and(new)?)
    }
}
