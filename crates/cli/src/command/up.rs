//! `larder up`: start an engine that remembers, in the background.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use larder_local::people::Voice as _;
use larder_session::client::{self, Running};
use larder_session::docker_context::{self, Creating};
use larder_session::{Place, SessionError, machine};

use crate::args::Up;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::settings::Settings;

/// Starts a session, or attaches to the one that runs.
pub(crate) fn run(verb: &Up, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    super::check_folder("--env-file", verb.env_file.as_deref())?;
    let settings = Settings::decide(&verb.which, Some(&verb.how))?;
    let request = settings.job_request();
    machine::check(&request.settings.path)?;
    let place = Place::of(&request.settings.state);
    // The context names a socket that is known before anything listens on it.
    let context = (!verb.no_context).then(|| docker_context::create(&place));
    let running = match client::up(&request, report) {
        Ok(running) => running,
        Err(error) => {
            if let Some(context) = context {
                context.forget();
            }
            return Err(error.into());
        }
    };
    let host = format!("unix://{}", running.place.docker_socket().display());
    report.running(&running, "attached to");
    if let Some(context) = context {
        select(context, &running, verb, report)?;
    }
    if let Some(file) = &verb.env_file {
        append(file, &host)?;
    }
    report.write_json(verb.json.as_deref(), &running.job)?;
    report.answer(&format!("export DOCKER_HOST={host}"));
    // Until here the session is used only as long as this process lives.
    running.keep()?;
    Ok(ExitCode::SUCCESS)
}

/// With another session's context this job's commands would work in that one's engine, unless a variable
/// says otherwise. Without any context they do not find this one.
fn select(context: Creating, running: &Running, verb: &Up, report: &Report) -> Done<()> {
    match context.select(&running.place) {
        Err(error @ SessionError::ContextTaken(_)) if verb.env_file.is_none() => Err(error.into()),
        Err(error) => {
            report.note(&format!(
                "the docker context `larder` is not selected: {error}"
            ));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn append(file: &Path, host: &str) -> Done<()> {
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened
        .and_then(|mut file| writeln!(file, "DOCKER_HOST={host}"))
        .map_err(|error| Failure::input(format!("--env-file {}: {error}", file.display())))
}
