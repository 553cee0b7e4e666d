//! `larder up`: start an engine that remembers, in the background.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::{builds, context};
use crate::args::Up;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::session::place::Place;
use crate::session::{client, machine};
use crate::settings::Settings;

/// Starts a session, or attaches to the one that runs.
pub fn run(verb: &Up, report: &Report) -> Done {
    let mut settings = Settings::decide(&verb.which, Some(&verb.how))?;
    settings.drafts = builds::drafts(&settings.plan_paths, report);
    machine::check(&settings.path)?;
    let place = Place::of(&settings.state);
    // The context names a socket that is known before anything listens on it.
    let context = (!verb.no_context).then(|| context::create(&place));
    let running = client::up(&settings, &place, report)?;
    let host = format!("unix://{}", place.docker_socket().display());
    if running.attached {
        report.note("attached to the session that runs; its own `larder down` will end it");
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

fn append(file: &Path, host: &str) -> Done<()> {
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened
        .and_then(|mut file| writeln!(file, "DOCKER_HOST={host}"))
        .map_err(|error| Failure::input(format!("--env-file {}: {error}", file.display())))
}
