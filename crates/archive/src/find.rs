//! The archive that a job starts from: the newest on the ladder that can be read.

use larder_model::archive::Archive;
use larder_model::digest::ArchiveId;
use larder_model::ladder::ladder;
use larder_model::lineage::Lineage;
use larder_store::catalog::{self, Candidate, Found};
use larder_store::{Objects, StoreError};

use super::content::Content;
use super::door::Door;
use crate::report::Report;
use crate::settings::Settings;

/// An archive, and what it holds.
pub struct Usable {
    /// The archive.
    pub found: Found<Archive>,
    /// What it holds.
    pub content: Content,
}

/// Walks the ladder. What is in the way of an archive is a warning; a store that does not answer is
/// an error.
pub async fn newest(
    objects: &Objects,
    own: &Lineage,
    fallback: &[String],
    report: &Report,
) -> Result<Option<Usable>, StoreError> {
    for rung in ladder(own, fallback) {
        for candidate in catalog::candidates::<Archive>(objects, &rung).await? {
            if catalog::is_broken(objects, candidate.id).await? {
                continue;
            }
            match open(objects, &candidate).await {
                Ok(usable) => return Ok(Some(usable)),
                Err(why) => left_out(objects, candidate.id, &why, report).await,
            }
        }
    }
    Ok(None)
}

/// The archive that a job compares with when it saves: the one that it started from, if it is still
/// near the head, else the newest.
pub async fn parent(
    door: &Door,
    settings: &Settings,
    started_from: Option<ArchiveId>,
    report: &Report,
) -> Result<Option<Usable>, StoreError> {
    if let Some(id) = started_from {
        for rung in ladder(&door.lineage, &settings.fallback) {
            let candidates = catalog::candidates::<Archive>(&door.objects, &rung).await?;
            let Some(same) = candidates.iter().find(|candidate| candidate.id == id) else {
                continue;
            };
            if let Ok(usable) = open(&door.objects, same).await {
                return Ok(Some(usable));
            }
        }
    }
    newest(&door.objects, &door.lineage, &settings.fallback, report).await
}

enum Refusal {
    Store(StoreError),
    Content(String),
}

async fn open(objects: &Objects, candidate: &Candidate<Archive>) -> Result<Usable, Refusal> {
    let found = catalog::read(objects, candidate).await;
    let found = found.map_err(Refusal::Store)?;
    let content = Content::of(&found.document).map_err(Refusal::Content)?;
    // Looked at again when it is used; one that cannot be must not hide an older one.
    content.images().map_err(Refusal::Content)?;
    Ok(Usable { found, content })
}

async fn left_out(objects: &Objects, id: ArchiveId, why: &Refusal, report: &Report) {
    let (text, damage) = match why {
        Refusal::Store(error) => (error.to_string(), error.is_damage()),
        Refusal::Content(why) => (why.clone(), false),
    };
    report.warning(&format!("archive {} is left out: {text}", id.short()));
    if damage {
        mark(objects, id, &text).await;
    }
}

/// Marks an archive so that no other job tries it. A store that cannot be written to stays as it is.
pub async fn mark(objects: &Objects, id: ArchiveId, why: &str) {
    if let Err(error) = catalog::mark_broken(objects, id, why).await {
        tracing::warn!(%error, archive = %id, "not marked as broken");
    }
}
