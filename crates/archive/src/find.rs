//! The archive that a job starts from: the newest on the ladder that can be read.

use std::time::Duration;

use larder_local::people::Voice;
use larder_model::archive::Archive;
use larder_model::digest::ArchiveId;
use larder_store::Objects;
use larder_store::catalog::{Found, Refusal, Walk};

use crate::document::Document;
use crate::{ArchiveError, Job, Result};

/// How long a store in trouble is waited for at a job's start, which can go on without it.
const FINDING: Duration = Duration::from_secs(10);

pub(crate) struct Usable {
    pub(crate) found: Found<Archive>,
    pub(crate) document: Document,
}

/// Walks the ladder. Each archive that cannot be used is a warning; a store that does not answer is an
/// error.
pub(crate) async fn newest(
    job: &Job,
    objects: &Objects,
    voice: &dyn Voice,
) -> Result<Option<Usable>> {
    let reader = job.project.reader();
    objects.patience().set(FINDING);
    let walked = Walk::new(objects, job.ladder(), &reader)
        .first(async |found| accept(found))
        .await;
    objects.patience().reset();
    for refused in &walked.refused {
        let id = refused.id.short();
        voice.warning(&format!("archive {id} is left out: {}", refused.why));
    }
    walked.outcome.map_err(ArchiveError::Find)
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
        if let Some(usable) = same.outcome.map_err(ArchiveError::Find)? {
            return Ok(Some(usable));
        }
    }
    newest(job, objects, voice).await
}

fn accept(found: Found<Archive>) -> Result<Usable, Refusal> {
    match Document::of(&found.document) {
        Ok(document) => Ok(Usable { found, document }),
        Err(error) => Err(Refusal::Unfit(error.to_string())),
    }
}
