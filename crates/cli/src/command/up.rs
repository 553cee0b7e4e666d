//! `larder up`: start an engine that remembers, in the background.

use std::path::Path;
use std::process::ExitCode;

use larder_local::files;
use larder_local::people::Voice as _;
use larder_session::{client, docker_context, machine};

use crate::args::Up;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::settings::Settings;

/// Starts a session, or attaches to the one that runs.
pub(crate) fn run(verb: &Up, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    super::check_folder("--env-file", verb.env_file.as_deref())?;
    let settings = Settings::decide(&verb.which, Some(&verb.how), report)?;
    let place = settings.place();
    let request = settings.job_request(report)?;
    machine::check(&request.settings.path)?;
    let place = place?;
    // The context names a socket that is known before anything listens on it.
    let context = (!verb.no_context).then(|| docker_context::create(&place));
    let running = client::up(&request, &place, report).inspect_err(|_| {
        if !verb.no_context {
            docker_context::remove(&place);
        }
    })?;
    let host = format!("unix://{}", place.docker_socket().display());
    report.running(&running, "attached to", &request.settings.project);
    if let Some(Err(error)) = context.map(docker_context::Creating::select) {
        report.note(&format!(
            "the docker context `larder` is not selected: {error}"
        ));
    }
    if let Some(file) = &verb.env_file {
        append(file, &host)?;
    }
    report.write_json(verb.json.as_deref(), &running.job)?;
    report.answer(&format!("export DOCKER_HOST={host}"));
    Ok(ExitCode::SUCCESS)
}

fn append(file: &Path, host: &str) -> Done<()> {
    files::append_public(file, &format!("DOCKER_HOST={host}"))
        .map_err(|error| Failure::input(format!("--env-file {}: {error}", file.display())))
}
