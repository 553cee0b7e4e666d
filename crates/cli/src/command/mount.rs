//! `larder mount`: a directory that remembers, without an engine.

use std::process::ExitCode;

use larder_session::client;
use larder_settings::Settings;
use larder_settings::args::Mount;
use larder_settings::exit::Done;

use crate::report::Report;

/// Starts a session for a directory, or attaches to the one that runs.
pub(crate) fn run(verb: &Mount, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    let settings = Settings::for_mount(verb, report)?;
    let place = settings.place()?;
    let mut request = settings.job_request(report)?;
    request.check()?;
    let running = client::up(&request, &place, report)?;
    report.running(&running, "attached to");
    report.write_json(verb.json.as_deref(), &running.job)?;
    // Until here the session is used only as long as this process lives.
    running.keep()?;
    Ok(ExitCode::SUCCESS)
}
