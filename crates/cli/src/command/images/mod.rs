//! The commands for engines that only their API reaches: images and build cache are saved and restored.

pub(crate) mod build;
mod came;
pub(crate) mod restore;
pub(crate) mod save;

use larder_archive::note::JobNote;
use larder_archive::restore::{Outcome, Restored, Wanted};
use larder_archive::save::{Saved, What};
use larder_archive::{ArchiveError, Job};
use larder_settings::exit::Done;
use serde_json::Value;

use crate::report::Report;

/// Restores what is wanted, says what that was, and notes it for a save in the same job.
async fn restored(
    job: &Job,
    wanted: Option<&Wanted<'_>>,
    strict: bool,
    report: &Report,
) -> Done<(JobNote, Option<Restored>)> {
    let mut outcome = None;
    if let Some(wanted) = wanted {
        let done = larder_archive::restore::restore(job, wanted, report).await;
        outcome = report.or_miss("nothing restored", strict, unless_locked(done)?)?;
    }
    if let Some(outcome) = &outcome {
        report.archive_restored(&outcome.restored);
    }
    let note = Outcome::note(outcome.as_ref(), job);
    job.note.leave(&note, report);
    Ok((note, outcome.map(|outcome| outcome.restored)))
}

/// Saves, and says what that was.
async fn saved(
    job: &Job,
    what: &What,
    note: &JobNote,
    plan: Option<Value>,
    strict: bool,
    report: &Report,
) -> Done<Option<Saved>> {
    let done = larder_archive::save::save(job, what, note, plan, report).await;
    let saved = report.or_miss("nothing saved", strict, unless_locked(done)?)?;
    if let Some(saved) = &saved {
        report.archive_saved(saved, &job.lineage);
    }
    Ok(saved)
}

/// A store that our key does not open is no miss: nothing would ever be restored.
fn unless_locked<T>(done: Result<T, ArchiveError>) -> Done<Result<T, ArchiveError>> {
    match done {
        Err(error) if error.is_locked() => Err(error.into()),
        other => Ok(other),
    }
}
