//! `larder restore`: what the last job saved, loaded into the engine that this job was given.

use std::process::ExitCode;

use super::builds;
use crate::archive::content::Sources;
use crate::archive::door::Door;
use crate::archive::note::JobNote;
use crate::archive::restore::{self, Outcome, Wanted};
use crate::args::Restore;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::session::facts::now_ms;
use crate::settings::Settings;

/// Restores; trouble with the cache is a warning.
pub fn run(verb: &Restore, report: &Report) -> Done {
    super::check_folder("--json", verb.manner.json.as_deref())?;
    let how = verb.planned.how(&verb.manner);
    let settings = Settings::decide(&verb.which, Some(&how))?;
    let drafts = builds::drafts(&settings.plan_paths, report);
    super::block_on(async {
        let door = Door::open(&settings).await?;
        let wanted = Wanted {
            drafts: &drafts,
            always: verb.worth.always,
            cache: verb.cache.as_deref(),
        };
        let outcome = restore::restore(&door, &settings, &wanted, report).await;
        let outcome = or_warn(outcome, settings.strict, report)?;
        leave_note(&door, outcome.as_ref(), report);
        let restored = outcome.map(|outcome| outcome.restored);
        if verb.flags {
            let sources = restored.as_ref().map(|restored| &restored.sources);
            report.answer(&flags(sources, verb));
        }
        if let Some(file) = &verb.manner.json {
            report.write_json(file, &restored)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Says what was restored, or why nothing was.
pub(super) fn or_warn(
    outcome: Result<Outcome, String>,
    strict: bool,
    report: &Report,
) -> Done<Option<Outcome>> {
    match outcome {
        Ok(outcome) => {
            report.archive_restored(&outcome.restored);
            Ok(Some(outcome))
        }
        Err(why) if strict => Err(Failure::failed(format!(
            "nothing restored: {why} (--strict)"
        ))),
        Err(why) => {
            report.warning(&format!("nothing restored: {why}"));
            Ok(None)
        }
    }
}

/// Leaves the note that a save in the same job reads.
pub(super) fn leave_note(door: &Door, outcome: Option<&Outcome>, report: &Report) -> JobNote {
    let restored = outcome.map(|outcome| &outcome.restored);
    let used =
        restored.is_some_and(|restored| restored.archive.is_some() && restored.skipped.is_none());
    let plan = outcome.and_then(|outcome| outcome.today.as_ref()?.to_value().ok());
    let note = JobNote {
        engine: door.engine.about().id.clone(),
        archive: restored.and_then(|restored| restored.archive),
        restored: used,
        restore_ms: restored.filter(|_| used).map(|restored| restored.ms),
        ready_ms: Some(now_ms()),
        plan,
        ..JobNote::default()
    };
    if let Err(error) = door.note.write(&note) {
        report.warning(&format!("the job's save will measure nothing: {error}"));
    }
    note
}

/// The arguments of `docker build`, on one line.
fn flags(sources: Option<&Sources>, verb: &Restore) -> String {
    let Some(sources) = sources else {
        return String::new();
    };
    let images = sources
        .images
        .iter()
        .map(|image| format!("--cache-from={image}"));
    let folder = verb.cache.as_ref().filter(|_| sources.cache);
    let folder = folder.map(|folder| format!("--cache-from=type=local,src={}", folder.display()));
    images.chain(folder).collect::<Vec<_>>().join(" ")
}
