//! `larder restore`: what the last job saved, loaded into the engine that this job was given.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use larder_archive::Job;
use larder_archive::builder::{self, Docker, Strategy};
use larder_archive::restore::{Restored, Wanted};
use larder_local::people::Voice as _;
use larder_settings::Settings;
use larder_settings::args::Restore;
use larder_settings::exit::Done;

use crate::command::{block_on, check_folder};
use crate::report::Report;
use crate::survey::planned;

/// Restores; trouble with the cache is a warning.
pub(crate) fn run(verb: &Restore, report: &Report) -> Done {
    check_folder("--json", verb.manner.json.as_deref())?;
    let how = verb.planned.how(&verb.manner);
    let settings = Settings::decide(&verb.which, Some(&how), report)?;
    let drafts = planned(&settings, report);
    block_on(async {
        let job = Job::open(settings.archive(report)?).await?;
        let flags = verb
            .flags
            .then(|| Flags::new(&settings, &job, verb, report));
        let own = flags.as_ref().and_then(|flags| flags.own.as_deref());
        let wanted = Wanted {
            drafts: &drafts,
            always: verb.worth.always,
            cache: verb.cache.as_deref().or(own),
        };
        let strict = settings.session.strict;
        let (mut note, restored) = super::restored(&job, Some(&wanted), strict, report).await?;
        if let Some(own) = own {
            note.cache = Some(own.to_owned());
            job.note.leave(&note, report);
        }
        if let Some(flags) = &flags {
            report.answer(&flags.text(restored.as_ref(), wanted.cache));
        }
        report.write_json(verb.manner.json.as_deref(), &restored)?;
        Ok(ExitCode::SUCCESS)
    })?
}

/// The arguments by which `docker build` finds what was restored.
struct Flags {
    strategy: Strategy,
    /// The folder that was chosen for `BuildKit`'s cache because nobody named one.
    own: Option<PathBuf>,
}

impl Flags {
    /// What cannot be told is a warning, and no arguments.
    fn new(settings: &Settings, job: &Job, verb: &Restore, report: &Report) -> Self {
        let about = job.engine.about();
        let found = Docker::find(&settings.session.path).and_then(|docker| {
            let builder = builder::find(&settings.build_choice, about, &docker)?;
            let strategy = builder::strategy(&builder, about, &docker)?;
            let chosen = strategy == Strategy::CacheFolder && verb.cache.is_none();
            let own = chosen.then(|| job.note.cache_folder()).transpose()?;
            Ok(Self { strategy, own })
        });
        found.unwrap_or_else(|error| {
            report.warning(&format!(
                "cannot tell the options for docker build: {error}"
            ));
            Self {
                strategy: Strategy::Nothing,
                own: None,
            }
        })
    }

    /// All of them on one line.
    fn text(&self, restored: Option<&Restored>, cache: Option<&Path>) -> String {
        let sources = restored.map(|restored| &restored.sources);
        let mut words = sources.map_or_else(Vec::new, |it| self.strategy.cache_from(it, cache));
        words.extend(self.own.as_deref().map(Strategy::cache_to));
        words.join(" ")
    }
}
