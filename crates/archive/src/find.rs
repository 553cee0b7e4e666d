//! The archive that a job starts from: the newest on the ladder that can be read.

use std::future::ready;
use std::time::Duration;

use larder_bases::siblings;
use larder_builds::Draft;
use larder_local::people::Voice;
use larder_model::archive::Archive;
use larder_model::digest::ArchiveId;
use larder_model::dockerfile::ImageConfigs;
use larder_store::Objects;
use larder_store::catalog::{Found, Refusal, Walk};

use crate::document::Document;
use crate::{ArchiveError, Job, Result};

/// How long a store in trouble is waited for at a job's start, which can go on without it.
const FINDING: Duration = Duration::from_secs(10);

pub(crate) struct Usable {
    pub(crate) found: Found<Archive>,
    pub(crate) document: Document,
    /// Whether no newer one is marked as broken, which this one may share damaged objects with.
    pub(crate) is_trusted: bool,
}

/// Walks the ladder; of siblings the one counts that is nearest to these builds. Each archive that cannot be used is a warning; a store that does not answer is an
/// error.
pub(crate) async fn newest(
    job: &Job,
    objects: &Objects,
    drafts: &[Draft],
    voice: &dyn Voice,
) -> Result<Option<Usable>> {
    let reader = job.project.reader();
    objects.patience().set(FINDING);
    let walk = Walk::new(objects, job.ladder(), &reader);
    let mut walked = walk.clone().first(async |found| accept(found)).await;
    if let Ok(Some(newest)) = &walked.outcome {
        let plans = larder_builds::plans(drafts, &ImageConfigs::new()).ok();
        let nearer = siblings::nearer(objects, &newest.found, reader.now_ms, ready(plans));
        if let Some(id) = nearer.await {
            let other = walk.only(id).first(async |found| accept(found)).await;
            if matches!(other.outcome, Ok(Some(_))) {
                walked.outcome = other.outcome;
                walked.passed_marked |= other.passed_marked;
            }
        }
    }
    objects.patience().reset();
    for told in walked.told("archive") {
        voice.warning(&told);
    }
    let is_trusted = !walked.passed_marked;
    let found = walked.outcome.map_err(ArchiveError::Find)?;
    Ok(found.map(|usable| Usable {
        is_trusted,
        ..usable
    }))
}

/// The archive that a job compares with when it saves: the one that it started from, if it is still
/// near the head, else the newest.
pub(crate) async fn parent(
    job: &Job,
    objects: &Objects,
    started_from: Option<ArchiveId>,
    voice: &dyn Voice,
) -> Result<Option<Usable>> {
    if let Some(id) = started_from {
        let reader = job.project.reader();
        let walk = Walk::new(objects, job.ladder(), &reader).only(id);
        let same = walk.first(async |found| accept(found)).await;
        let is_trusted = !same.passed_marked;
        if let Some(usable) = same.outcome.map_err(ArchiveError::Find)? {
            return Ok(Some(Usable {
                is_trusted,
                ..usable
            }));
        }
    }
    newest(job, objects, &[], voice).await
}

fn accept(found: Found<Archive>) -> Result<Usable, Refusal> {
    match Document::of(&found.document) {
        Ok(document) => Ok(Usable {
            found,
            document,
            is_trusted: true,
        }),
        Err(error) => Err(Refusal::Unfit(error.to_string())),
    }
}
