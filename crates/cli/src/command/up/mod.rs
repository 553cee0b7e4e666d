//! `larder up`: start an engine that remembers, in the background.

mod foreground;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use larder_docker::Environment;
use larder_local::files;
use larder_local::people::Voice as _;
use larder_session::client::{self, Running};
use larder_session::docker_context::{self, Creating};
use larder_session::{SessionError, Tenant};
use larder_settings::Settings;
use larder_settings::args::Up;
use larder_settings::exit::{Done, Failure};

use crate::address::Address;
use crate::report::Report;
use foreground::Foreground;

/// Starts a session, or attaches to the one that runs.
pub(crate) fn run(verb: &Up, report: &Report) -> Done {
    let grace = foreground::grace(verb)?;
    super::check_folder("--json", verb.json.as_deref())?;
    super::check_folder("--env-file", verb.env_file.as_deref())?;
    let settings = Settings::decide(&verb.which, Some(&verb.how), report)?;
    let docker = settings.docker.clone();
    match start(verb, grace, settings, &docker, report) {
        Err(failure) => Err(super::wait_for(super::refused(failure, &docker))?),
        started => started,
    }
}

fn start(
    verb: &Up,
    grace: Duration,
    settings: Settings,
    docker: &Environment,
    report: &Report,
) -> Done {
    let place = settings.place();
    let mut request = settings.job_request(report)?;
    request.check()?;
    let place = place?;
    // The context names a socket that is known before anything listens on it.
    let folder = docker.config.as_deref();
    let is_docker = request.settings.tenant == Tenant::Engine;
    let context = (is_docker && !verb.no_context).then(|| docker_context::create(&place, folder));
    let running = match client::up(&request, &place, report) {
        Ok(running) => running,
        Err(error) => {
            if let Some(context) = context {
                context.forget();
            }
            return Err(error.into());
        }
    };
    let address = Address::of(&running.job, docker.api_version.as_deref());
    report.running(&running, "attached to");
    if let Some(context) = context {
        select(context, &running, verb, report)?;
    }
    if let Some(file) = &verb.env_file {
        append(file, &address.for_a_file())?;
    }
    report.write_json(verb.json.as_deref(), &running.job)?;
    report.answer(&address.for_a_shell());
    if verb.foreground {
        let foreground = Foreground {
            verb,
            grace,
            main: &place,
            docker: docker.config.as_deref(),
            strict: request.settings.strict,
            report,
        };
        return foreground.stay(running);
    }
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

fn append(file: &Path, lines: &str) -> Done<()> {
    files::append_public(file, lines)
        .map_err(|error| Failure::input(format!("--env-file {}: {error}", file.display())))
}
