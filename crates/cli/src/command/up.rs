//! `larder up`: start an engine that remembers, in the background.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::{builds, context};
use crate::args::Up;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::session::facts::Job;
use crate::session::place::Place;
use crate::session::{client, machine};
use crate::settings::Settings;

/// Starts a session, or attaches to the one that runs.
pub fn run(verb: &Up, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    super::check_folder("--env-file", verb.env_file.as_deref())?;
    let mut settings = Settings::decide(&verb.which, Some(&verb.how))?;
    settings.drafts = builds::drafts(&settings.plan_paths, report);
    machine::check(&settings.path)?;
    let place = Place::of(&settings.state);
    // The context names a socket that is known before anything listens on it.
    let context = (!verb.no_context).then(|| context::create(&place));
    let running = client::up(&settings, &place, report).inspect_err(|_| {
        if !verb.no_context {
            context::remove(&place);
        }
    })?;
    let host = format!("unix://{}", place.docker_socket().display());
    if running.attached {
        report.note("attached to the session that runs; its own `larder down` will end it");
        warn_of_others(&running.job, &settings, report);
    } else {
        report.up(&running.job);
    }
    if let Some(Err(why)) = context.map(context::Creating::select) {
        report.note(&format!("no docker context: {why}"));
    }
    if let Some(file) = &verb.env_file {
        append(file, &host)?;
    }
    if let Some(file) = &verb.json {
        report.write_json(file, &running.job)?;
    }
    report.answer(&format!("export DOCKER_HOST={host}"));
    Ok(ExitCode::SUCCESS)
}

/// Says that a session which was there before is for something else than what is asked for now.
pub(super) fn warn_of_others(job: &Job, settings: &Settings, report: &Report) {
    let asked = settings.lineage(&job.lineage.compatibility);
    if job.store != settings.store || job.lineage != asked {
        report.warning(&format!(
            "the session that runs is for {} in {}, not for {asked} in {}; with another --state \
             folder both can run",
            job.lineage, job.store, settings.store
        ));
    }
}

fn append(file: &Path, host: &str) -> Done<()> {
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened
        .and_then(|mut file| writeln!(file, "DOCKER_HOST={host}"))
        .map_err(|error| Failure::input(format!("--env-file {}: {error}", file.display())))
}
