//! `larder run -- CMD`: up, the command, down.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

use larder_local::people::Voice as _;
use larder_session::client::{self, Running};
use larder_session::facts::{self, Job};
use larder_session::protocol::Event;
use larder_session::{JobRequest, Place, SessionError, leftovers, machine};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;

use crate::address::Address;
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
    let api_version = settings.docker.api_version.clone();
    let place = settings.place();
    let request = settings.job_request(report)?;
    let (main, running) = match start(&request, place, report) {
        Ok(started) => started,
        Err(failure) if verb.optional => {
            report.warning(&format!("running without Larder: {failure}"));
            let (code, _) = execute(&verb.command, None, report)?;
            return Ok(ExitCode::from(code));
        }
        Err(failure) => return Err(failure),
    };
    report.running(&running, "using");
    let address = Address::of(&running.job.engine, api_version.as_deref());
    let (code, ms) = execute(&verb.command, Some((&running, &address)), report)?;
    let strict = request.settings.strict && code == 0;
    let ran = facts::Command {
        exit_code: code,
        ms,
    };
    let (place, mut job) = (running.place.clone(), running.job.clone());
    match end(running, report) {
        Event::Ended(mut job) => {
            leftovers::sweep_after(&place, &main);
            job.add_command(ran);
            report.down(&job);
            write_report(verb, &job, report);
            strictly(strict, job.trouble())?;
        }
        Event::StaysUp { others } => {
            report.stays_up(others);
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

/// The place that was asked for, and the session, which may be beside it.
fn start(request: &JobRequest, place: Done<Place>, report: &Report) -> Done<(Place, Running)> {
    machine::check(&request.settings.path)?;
    let place = place?;
    let running = client::up(request, &place, report)?;
    Ok((place, running))
}

/// Ends this command's use of the session. Whatever becomes of that session, the command's exit code
/// counts: a failure is an event, too.
fn end(running: Running, report: &Report) -> Event {
    let ended = running.down(report);
    ended.unwrap_or_else(|error| Event::Failed(error.into()))
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

/// Runs a command, in a session if there is one, passing signals on to it: its exit code, and how long it
/// ran.
fn execute(
    command: &[OsString],
    session: Option<(&Running, &Address)>,
    report: &Report,
) -> Done<(u8, f64)> {
    let started = Instant::now();
    let code = super::wait_for(async {
        let mut child = tokio::process::Command::new(&command[0]);
        child.args(&command[1..]);
        if let Some((_, address)) = session {
            address.give(&mut child);
        }
        let mut signals = Signals::catch()?;
        let mut child = match child.spawn() {
            Ok(child) => child,
            Err(error) => {
                report.warning(&format!("{}: {error}", command[0].display()));
                let found = error.kind() != io::ErrorKind::NotFound;
                return Ok(if found { CANNOT_RUN } else { NOT_FOUND });
            }
        };
        let status = tokio::select! {
            status = signals.pass_on_to(&mut child) => status,
            never = listen(session.map(|(running, _)| running), report) => match never {},
        };
        status.map(code_of).map_err(Failure::failed)
    })??;
    Ok((code, started.elapsed().as_secs_f64() * 1000.0))
}

/// Says what the session says while the command runs, until this future is dropped.
async fn listen(running: Option<&Running>, report: &Report) -> Infallible {
    if let Some(running) = running
        && let Err(error) = pass_on(running, report).await
    {
        report.warning(&format!("the session is not heard: {error}"));
    }
    std::future::pending().await
}

async fn pass_on(running: &Running, report: &Report) -> io::Result<()> {
    let heard = running.connection()?;
    // Not for itself alone: `Running` listens again when this has ended.
    heard.set_nonblocking(true)?;
    let mut lines = BufReader::new(UnixStream::from_std(heard)?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Ok(Event::Broken(why)) = serde_json::from_str(&line) {
            report.warning(&format!("{why}; the command cannot use it any more"));
        }
    }
    Ok(())
}
