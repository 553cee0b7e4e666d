//! `larder run -- CMD`: up, the command, down.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Instant;

use super::builds;
use super::down::strictly;
use crate::args::Run;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::session::facts::{self, Job, Phase};
use crate::session::place::Place;
use crate::session::protocol::{Event, Request};
use crate::session::{client, machine};
use crate::settings::Settings;
use crate::signals::Signals;

/// As shells do: the command was found and could not be run.
const CANNOT_RUN: u8 = 126;
/// As shells do: the command was not found.
const NOT_FOUND: u8 = 127;

/// Runs the command; its exit code is ours.
pub fn run(verb: &Run, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    let mut settings = Settings::decide(&verb.which, Some(&verb.how))?;
    settings.drafts = builds::drafts(&settings.plan_paths, report);
    let place = Place::of(&settings.state);
    let up = machine::check(&settings.path).and_then(|()| client::up(&settings, &place, report));
    let running = match up {
        Ok(running) => running,
        Err(failure) if verb.optional => {
            report.warning(&format!("running without Larder: {failure}"));
            let (code, _) = execute(&verb.command, None, report)?;
            return Ok(ExitCode::from(code));
        }
        Err(failure) => return Err(failure),
    };
    if running.attached {
        report.note("using the session that runs; its own `larder down` will end it");
        super::up::warn_of_others(&running.job, &settings, report);
    } else {
        report.up(&running.job);
    }
    // If this process is killed, the session knows that it is not used any more.
    let held = client::connect(&place, Request::Hold)?;
    let (code, ms) = execute(&verb.command, Some(&place.docker_socket()), report)?;
    let down = Request::Down { discard: false };
    // The command's exit code counts, whatever becomes of its session.
    let ended = client::ask(&place, down, report);
    if let (Ok(Some(Event::StaysUp { .. })), Some(mut held)) = (&ended, held) {
        // A session that died meanwhile needs no word.
        let _ = held.write_all(b"\n");
    }
    let ended = ended.unwrap_or_else(|failure| Some(Event::Failed(failure)));
    let lost = |why: &str| {
        if settings.strict && code == 0 {
            return Err(Failure::failed(format!("nothing saved: {why} (--strict)")));
        }
        report.warning(&format!("nothing saved: {why}"));
        Ok(())
    };
    match ended {
        Some(Event::Ended(mut job)) => {
            add_command(&mut job, code, ms);
            report.down(&job);
            write_report(verb, &job, report);
            if code == 0 {
                strictly(settings.strict, &job)?;
            }
        }
        Some(Event::StaysUp { others }) => {
            report.stays_up(others);
            let mut job = running.job;
            add_command(&mut job, code, ms);
            write_report(verb, &job, report);
        }
        Some(Event::Failed(failure)) => lost(&failure.message)?,
        Some(other) => lost(&format!("the session said {other:?}"))?,
        None => {
            lost("the background process died; the next `larder up` clears what it left")?;
        }
    }
    Ok(ExitCode::from(code))
}

/// Adds what the command came to, before the phases of the way down.
fn add_command(job: &mut Job, exit_code: u8, ms: f64) {
    job.command = Some(facts::Command { exit_code, ms });
    let at = job.phases.iter().position(|phase| phase.name == "quiesce");
    let name = "command".to_owned();
    let at = at.unwrap_or(job.phases.len());
    job.phases.insert(at, Phase { name, ms });
}

/// The command has run: its exit code stands, whatever becomes of the report.
fn write_report(verb: &Run, job: &Job, report: &Report) {
    let written = verb.json.as_ref().map(|file| report.write_json(file, job));
    if let Some(Err(failure)) = written {
        report.warning(&failure.message);
    }
}

/// Runs a command, passing signals on to it: its exit code, and how long it ran.
fn execute(command: &[OsString], socket: Option<&Path>, report: &Report) -> Done<(u8, f64)> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Failure::failed)?;
    let code = runtime.block_on(async {
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
        status.map(exit_code).map_err(Failure::failed)
    })?;
    Ok((code, started.elapsed().as_secs_f64() * 1000.0))
}

pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
