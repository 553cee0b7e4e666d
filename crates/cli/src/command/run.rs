//! `larder run -- CMD`: up, the command, down.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::builds;
use super::down::strictly;
use crate::args::Run;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::session::facts::{self, Phase};
use crate::session::place::Place;
use crate::session::protocol::{Event, Request};
use crate::session::{client, machine};
use crate::settings::Settings;

/// As shells do: the command was found and could not be run.
const CANNOT_RUN: u8 = 126;
/// As shells do: the command was not found.
const NOT_FOUND: u8 = 127;

/// Runs the command; its exit code is ours.
pub fn run(verb: &Run, report: &Report) -> Done {
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
    } else {
        report.up(&running.job);
    }
    // If this process is killed, the session ends by itself.
    let held = (!running.attached)
        .then(|| client::connect(&place, Request::Hold))
        .transpose()?;
    let (code, ms) = execute(&verb.command, Some(&place.docker_socket()), report)?;
    let down = Request::Down { discard: false };
    // The command's exit code counts, whatever becomes of its session.
    let ended = client::ask(&place, down, report);
    drop(held);
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
            job.command = Some(facts::Command {
                exit_code: code,
                ms,
            });
            let at = job.phases.iter().position(|phase| phase.name == "quiesce");
            let command = Phase {
                name: "command".to_owned(),
                ms,
            };
            job.phases.insert(at.unwrap_or(job.phases.len()), command);
            report.down(&job);
            // The command has run: its exit code stands, whatever becomes of the report.
            if let Some(Err(failure)) = verb.json.as_ref().map(|file| report.write_json(file, &job))
            {
                report.warning(&failure.message);
            }
            if code == 0 {
                strictly(settings.strict, &job)?;
            }
        }
        Some(Event::StaysUp { .. }) => {}
        Some(Event::Failed(failure)) => lost(&failure.message)?,
        Some(other) => lost(&format!("the session said {other:?}"))?,
        None => {
            lost("the background process died; the next `larder up` clears what it left")?;
        }
    }
    Ok(ExitCode::from(code))
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
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::hangup()),
        ) else {
            return Err(Failure::failed("signals cannot be caught"));
        };
        let mut child = match child.spawn() {
            Ok(child) => child,
            Err(error) => {
                report.warning(&format!("{}: {error}", command[0].display()));
                let found = error.kind() != std::io::ErrorKind::NotFound;
                return Ok(if found { CANNOT_RUN } else { NOT_FOUND });
            }
        };
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        loop {
            tokio::select! {
                status = child.wait() => return status.map(exit_code).map_err(Failure::failed),
                // A terminal sends this to the command itself, too; twice does no harm here.
                _ = interrupt.recv() => pass_on(pid, Signal::INT),
                _ = terminate.recv() => pass_on(pid, Signal::TERM),
                _ = hangup.recv() => pass_on(pid, Signal::HUP),
            }
        }
    })?;
    Ok((code, started.elapsed().as_secs_f64() * 1000.0))
}

fn pass_on(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}

pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
