//! `larder run -- CMD`: up, the command, down.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use larder_local::people::Voice as _;
use larder_session::client::Running;
use larder_session::facts::{self, Job};
use larder_session::protocol::{Event, Request};
use larder_session::{JobRequest, Place, SessionError, client, machine};

use crate::args::Run;
use crate::exit::{Done, Failure, code_of, strictly};
use crate::report::Report;
use crate::settings::Settings;
use crate::signals::Signals;

/// As shells do: the command was found and could not be run.
const CANNOT_RUN: u8 = 126;
/// As shells do: the command was not found.
const NOT_FOUND: u8 = 127;

/// Runs the command; its exit code is ours.
pub(crate) fn run(verb: &Run, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    let settings = Settings::decide(&verb.which, Some(&verb.how), report)?;
    let place = settings.place();
    let request = settings.job_request(report)?;
    let (place, running) = match start(&request, place, report) {
        Ok(started) => started,
        Err(failure) if verb.optional => {
            report.warning(&format!("running without Larder: {failure}"));
            let (code, _) = execute(&verb.command, None, report)?;
            return Ok(ExitCode::from(code));
        }
        Err(failure) => return Err(failure),
    };
    report.running(&running, "using", &request.settings.project);
    // If this process is killed, the session knows that it is not used any more.
    let held = client::connect(&place, Request::Hold)?;
    let (code, ms) = execute(&verb.command, Some(&place.docker_socket()), report)?;
    let strict = request.settings.strict && code == 0;
    let ran = facts::Command {
        exit_code: code,
        ms,
    };
    match end(&place, held, report) {
        Event::Ended(mut job) => {
            job.add_command(ran);
            report.down(&job);
            write_report(verb, &job, report);
            strictly(strict, job.trouble())?;
        }
        Event::StaysUp { others } => {
            report.stays_up(others);
            let mut job = running.job;
            job.add_command(ran);
            write_report(verb, &job, report);
        }
        lost => {
            let why = why_lost(lost);
            strictly(strict, Some(&why))?;
            report.warning(&format!("nothing saved: {why}"));
        }
    }
    Ok(ExitCode::from(code))
}

fn start(request: &JobRequest, place: Done<Place>, report: &Report) -> Done<(Place, Running)> {
    machine::check(&request.settings.path)?;
    let place = place?;
    let running = client::up(request, &place, report)?;
    Ok((place, running))
}

/// Takes back this command's use of the session. Whatever becomes of that session, the command's exit code
/// counts: a failure is an event, too.
fn end(place: &Place, held: Option<UnixStream>, report: &Report) -> Event {
    let ended = client::ask(place, Request::Down { discard: false }, report);
    if let (Ok(Some(Event::StaysUp { .. })), Some(mut held)) = (&ended, held) {
        // If the session died meanwhile, nothing needs to be said.
        let _ = held.write_all(b"\n");
    }
    match ended {
        Ok(Some(event)) => event,
        Ok(None) => Event::Failed(SessionError::EndedEarly.into()),
        Err(error) => Event::Failed(error.into()),
    }
}

fn why_lost(event: Event) -> String {
    match event {
        Event::Failed(failed) => failed.message,
        other => SessionError::Unexpected(Box::new(other)).to_string(),
    }
}

/// The command has run: its exit code stands, whatever becomes of the report.
fn write_report(verb: &Run, job: &Job, report: &Report) {
    if let Err(failure) = report.write_json(verb.json.as_deref(), job) {
        report.warning(&failure.message);
    }
}

/// Runs a command, passing signals on to it: its exit code, and how long it ran.
fn execute(command: &[OsString], socket: Option<&Path>, report: &Report) -> Done<(u8, f64)> {
    let started = Instant::now();
    let code = super::wait_for(async {
        let mut child = tokio::process::Command::new(&command[0]);
        child.args(&command[1..]);
        if let Some(socket) = socket {
            child.env("DOCKER_HOST", format!("unix://{}", socket.display()));
            // A context would win over nothing, but DOCKER_CONTEXT wins over DOCKER_HOST.
            child.env_remove("DOCKER_CONTEXT");
        }
        let mut signals = Signals::catch()?;
        let mut child = match child.spawn() {
            Ok(child) => child,
            Err(error) => {
                report.warning(&format!("{}: {error}", command[0].display()));
                let found = error.kind() != std::io::ErrorKind::NotFound;
                return Ok(if found { CANNOT_RUN } else { NOT_FOUND });
            }
        };
        let status = signals.pass_on_to(&mut child).await;
        status.map(code_of).map_err(Failure::failed)
    })??;
    Ok((code, started.elapsed().as_secs_f64() * 1000.0))
}
