//! All that an engine holds, and what of it the job at hand has used.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use larder_docker::{CacheRecord, ImageSummary, Remote, Result};
use larder_model::dropping::{Held, Holdings};
use larder_model::reference::ImageReference;
use larder_model::uses::Uses;

use super::heard::Heard;

/// What the description of a record begins with that is a base image (BuildKit `source/containerimage/pull.go`,
/// moby `daemon/internal/builder-next/adapters/containerimage/pull.go`).
const BASES: [&str; 2] = ["pulled from ", "from local "];

/// Images that are looked at together.
const LOOKS_AT_ONCE: usize = 8;

/// What is known so far.
pub(super) struct Survey {
    /// When the job began: Unix time in milliseconds.
    began_ms: u64,
    /// The record of former jobs and this one, once it was read.
    uses: Option<Uses>,
    /// Whether there was one.
    had_record: bool,
    /// Images that the record has this job's use of.
    noted: HashSet<String>,
    /// Images that the engine held when it was last looked.
    held: HashSet<String>,
    /// Whether uses may have been missed.
    missed: bool,
}

impl Survey {
    pub(super) fn begun(began_ms: u64) -> Self {
        Self {
            began_ms,
            uses: None,
            had_record: false,
            noted: HashSet::new(),
            held: HashSet::new(),
            missed: false,
        }
    }

    pub(super) fn has_record(&self) -> bool {
        self.uses.is_some()
    }

    pub(super) fn set_record(&mut self, read: Option<Uses>) {
        self.had_record = read.is_some();
        self.uses = Some(read.unwrap_or_default());
    }

    /// An image is gone.
    pub(super) fn forget(&mut self, image: &str) {
        self.held.remove(image);
    }

    /// The record to write, if the engine was looked at.
    pub(super) fn after_job(&self) -> Option<Uses> {
        let uses = self.uses.clone().filter(|_| !self.held.is_empty());
        Some(uses?.after_job(|id| self.held.contains(id)))
    }

    /// Looks at all that the engine holds.
    pub(super) async fn look(&mut self, remote: &Remote, heard: &Heard) -> Result<Holdings> {
        let (images, records) = tokio::join!(remote.images(true), remote.build_cache());
        let (images, records) = (images?, records?);
        let ids = heard.ids().await;
        self.missed |= ids.is_none();
        self.held = images.iter().map(|image| image.id.clone()).collect();
        self.note_uses(remote, &images, &records, &ids.unwrap_or_default())
            .await?;
        let images = images.iter().map(|image| self.image(image)).collect();
        let records = records.iter().map(|record| self.record(record)).collect();
        Ok(Holdings::new(images, records))
    }

    /// Writes down what of the images was used, and what is not known yet.
    async fn note_uses(
        &mut self,
        remote: &Remote,
        images: &[ImageSummary],
        records: &[CacheRecord],
        heard: &HashSet<String>,
    ) -> Result<()> {
        let bases = self.bases(records);
        let uses = self.uses.as_mut().expect("it was read before");
        let unnoted = images
            .iter()
            .filter(|image| !self.noted.contains(&image.id));
        let (mut at_work, mut old) = (Vec::new(), Vec::new());
        for image in unnoted {
            let is_new = match (uses.last(&image.id), self.had_record) {
                (Some(_), _) => false,
                // What the record does not have, the job has made, pulled or loaded.
                (None, true) => true,
                (None, false) => made_ms(image) + 1000 > self.began_ms,
            };
            let is_base = image.tags.iter().any(|tag| bases.contains(&in_full(tag)));
            if is_new || is_base || heard.contains(&image.id) {
                at_work.push(image);
            } else if uses.last(&image.id).is_none() {
                old.push(image);
            }
        }
        // What is old comes first: a base that nobody used by name is used by what is built on it.
        for (image, layers) in layers_of(remote, &old).await? {
            uses.note_old(&image.id, &layers, made_ms(image));
        }
        for (image, layers) in layers_of(remote, &at_work).await? {
            uses.note(&image.id, &layers, self.began_ms);
            self.noted.insert(image.id.clone());
        }
        Ok(())
    }

    /// Base images that builds of this job have read, by their full names.
    fn bases(&self, records: &[CacheRecord]) -> HashSet<String> {
        let used = records.iter().filter(|record| self.is_used(record));
        let names = used.filter_map(|record| {
            let name = BASES
                .iter()
                .find_map(|it| record.description.strip_prefix(it))?;
            Some(in_full(name.split('@').next()?))
        });
        names.collect()
    }

    fn is_used(&self, record: &CacheRecord) -> bool {
        record.in_use || record.used_ms >= self.began_ms
    }

    fn image(&self, image: &ImageSummary) -> Held {
        let uses = self.uses.as_ref().expect("it was read before");
        let last = uses.last(&image.id);
        let jobs_since = last.map_or(0, |last| uses.job().saturating_sub(last.job));
        Held {
            id: image.id.clone(),
            parents: image.parent.iter().cloned().collect(),
            is_named: is_named(image),
            is_shared: false,
            bytes: image.bytes,
            is_used: self.missed || jobs_since == 0,
            jobs_since,
            used_ms: last.map_or(0, |last| last.ms),
        }
    }

    fn record(&self, record: &CacheRecord) -> Held {
        Held {
            id: record.id.clone(),
            parents: record.parents.clone(),
            is_named: false,
            is_shared: record.shared,
            bytes: record.bytes,
            is_used: self.is_used(record),
            jobs_since: 0,
            used_ms: record.used_ms,
        }
    }
}

fn made_ms(image: &ImageSummary) -> u64 {
    u64::try_from(image.created).unwrap_or_default() * 1000
}

/// Whether somebody can ask for an image by a name. Engines write `<none>@sha256:…` for one without.
fn is_named(image: &ImageSummary) -> bool {
    let mut digests = image.digests.iter();
    !image.tags.is_empty() || digests.any(|name| !name.starts_with("<none>"))
}

fn in_full(tag: &str) -> String {
    let parsed = ImageReference::parse(tag);
    parsed.map_or_else(|_| tag.to_owned(), |parsed| parsed.or_latest().to_string())
}

/// The layers of these images, as far as they are still there.
async fn layers_of<'a>(
    remote: &Remote,
    images: &[&'a ImageSummary],
) -> Result<Vec<(&'a ImageSummary, Vec<String>)>> {
    let mut all = Vec::new();
    for images in images.chunks(LOOKS_AT_ONCE) {
        let looks = images.iter().map(|image| remote.inspect(&image.id));
        let looked = images.iter().zip(try_join_all(looks).await?);
        all.extend(looked.filter_map(|(image, found)| Some((*image, found?.diff_ids))));
    }
    Ok(all)
}
