//! `larder restore`: what the last job saved, loaded into the engine that this job was given.

use std::process::ExitCode;

use larder_archive::Job;
use larder_archive::builder::{self, Docker};
use larder_archive::restore::{Restored, Wanted};
use larder_local::people::Voice as _;

use crate::args::Restore;
use crate::command::{block_on, check_folder};
use crate::exit::Done;
use crate::report::Report;
use crate::settings::Settings;
use crate::survey::planned;

/// Restores; trouble with the cache is a warning.
pub(crate) fn run(verb: &Restore, report: &Report) -> Done {
    check_folder("--json", verb.manner.json.as_deref())?;
    let how = verb.planned.how(&verb.manner);
    let settings = Settings::decide(&verb.which, Some(&how), report)?;
    let drafts = planned(&settings, report);
    block_on(async {
        let job = Job::open(settings.archive(report)?).await?;
        let wanted = Wanted {
            drafts: &drafts,
            always: verb.worth.always,
            cache: verb.cache.as_deref(),
        };
        let strict = settings.session.strict;
        let (_, restored) = super::restored(&job, Some(&wanted), strict, report).await?;
        if verb.flags {
            report.answer(&flags(&settings, &job, restored.as_ref(), verb, report));
        }
        report.write_json(verb.manner.json.as_deref(), &restored)?;
        Ok(ExitCode::SUCCESS)
    })?
}

/// The arguments by which `docker build` finds what was restored, on one line.
fn flags(
    settings: &Settings,
    job: &Job,
    restored: Option<&Restored>,
    verb: &Restore,
    report: &Report,
) -> String {
    let Some(restored) = restored else {
        return String::new();
    };
    let about = job.engine.about();
    let strategy = Docker::find(&settings.session.path).and_then(|docker| {
        let builder = builder::find(&settings.build_choice, about, &docker)?;
        builder::strategy(&builder, about, &docker)
    });
    match strategy {
        Ok(strategy) => {
            let arguments = strategy.cache_from(&restored.sources, verb.cache.as_deref());
            arguments.join(" ")
        }
        Err(error) => {
            report.warning(&format!(
                "cannot tell the options for docker build: {error}"
            ));
            String::new()
        }
    }
}
