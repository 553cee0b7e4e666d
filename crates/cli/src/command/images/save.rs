//! `larder save`: images for the next job.

use std::process::ExitCode;

use larder_archive::save::{self, What};
use larder_archive::{Job, leaks};
use larder_local::people::Voice as _;
use larder_settings::Settings;
use larder_settings::args::Save;
use larder_settings::exit::Done;

use crate::command::store::collect;
use crate::command::{block_on, check_folder};
use crate::report::Report;
use crate::survey::planned;

/// Saves; trouble with the store is a warning.
pub(crate) fn run(verb: &Save, report: &Report) -> Done {
    check_folder("--json", verb.manner.json.as_deref())?;
    let how = verb.planned.how(&verb.manner);
    let settings = Settings::decide(&verb.which, Some(&how), report)?;
    let collects = settings.collects(&verb.care)?;
    block_on(async {
        let job = Job::open(settings.archive(report)?).await?;
        let note = job.note.read(&job.engine.about().id);
        // A job that restored knows what it builds, and with which arguments.
        let drafts = match &note.plan {
            Some(_) => Vec::new(),
            None => planned(&settings, report),
        };
        let cache = verb.cache.as_deref().or(note.written_cache());
        if note.cache.is_some() && cache.is_none() {
            report.warning(
                "no build has written BuildKit's cache; give docker build the options that `larder restore --flags` \
                 prints",
            );
        }
        let mut what = match (&verb.images[..], &note.built) {
            ([], Some(built)) => What::named(&job, &built.images).await?,
            ([], None) if cache.is_none() => {
                What::everything(&job, &save::bases(&drafts, &note)).await?
            }
            ([], None) => What::default(),
            (names, _) => What::named(&job, names).await?,
        };
        what.use_cache(cache);
        let plan = save::plan(&job, &drafts, &note, report).await;
        let found = leaks::of_images(&job.engine, &what).await?;
        leaks::tell(&found, verb.deny_secrets, report)?;
        let strict = settings.session.strict;
        let saved = super::saved(&job, &what, &note, plan, strict, report).await?;
        report.write_json(verb.manner.json.as_deref(), &saved)?;
        let archive = saved.and_then(|saved| saved.archive);
        collect::after(collects.as_ref(), archive.as_ref(), report);
        Ok(ExitCode::SUCCESS)
    })?
}
