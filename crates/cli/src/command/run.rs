//! `larder run -- CMD`: up, the command, down.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Instant;

use larder_local::people::Voice as _;
use larder_session::client::Running;
use larder_session::facts::{self, Job, Lost};
use larder_session::protocol::{Event, Request};
use larder_session::{JobRequest, Place, SessionError, client, leftovers, machine};

use super::guard;
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
    let again = Settings::retry_empty(verb)?;
    let settings = Settings::decide(&verb.which, Some(&verb.how))?;
    let asked = settings.docker.api_version.clone();
    let api_version = asked.as_deref();
    let mut request = settings.job_request();
    let place = Place::of(&request.settings.state);
    let up =
        machine::check(&request.settings.path).and_then(|()| client::up(&request, &place, report));
    let running = match up {
        Ok(running) => running,
        Err(error) if verb.optional => {
            report.warning(&format!("running without Larder: {error}"));
            let (code, _) = execute(&verb.command, None, report)?;
            return Ok(ExitCode::from(code));
        }
        Err(error) => return Err(error.into()),
    };
    let repeats = again.applies_to(&verb.command) && !running.attached;
    let mut ran = use_session(running, verb, &request, api_version, report)?;
    if let Some(lost) = ran.lost.take_if(|_| repeats) {
        report.warning(&format!(
            "{}; running the command again on an empty volume (--retry-empty)",
            lost.why
        ));
        request.settings.instead_of = Some(lost);
        let running = client::up(&request, &place, report)?;
        ran = use_session(running, verb, &request, api_version, report)?;
    }
    if let Some(job) = &ran.job {
        write_report(verb, job, report);
    }
    if let Some(lost) = &ran.lost {
        return Err(ran.failure(lost));
    }
    strictly(
        request.settings.strict && ran.code == 0,
        ran.unsaved.as_deref(),
    )?;
    Ok(ExitCode::from(ran.code))
}

/// What running the command came to.
struct Ran {
    /// Its exit code.
    code: u8,
    /// The report, if the session gave one.
    job: Option<Job>,
    /// Why nothing was saved, if that is trouble.
    unsaved: Option<String>,
    /// Why the command's results cannot be relied on.
    lost: Option<Lost>,
}

impl Ran {
    /// A command that got by with a disk that failed has failed, too.
    fn failure(&self, lost: &Lost) -> Failure {
        Failure {
            code: if self.code == 0 { 1 } else { self.code },
            message: format!(
                "{}; what the command made after that may be wrong: run it again",
                lost.why
            ),
        }
    }
}

/// Runs the command in a session, and takes back its use of it.
fn use_session(
    running: Running,
    verb: &Run,
    request: &JobRequest,
    api_version: Option<&str>,
    report: &Report,
) -> Done<Ran> {
    let place = Place::of(&request.settings.state);
    // A second session says nothing of what it found: it did not look.
    if request.settings.instead_of.is_none() {
        report.running(&running, "using", &request.settings.project);
    }
    // If this process is killed, the session knows that it is not used any more.
    let held = client::connect(&place, Request::Hold)?;
    let address = Address::of(&running.job.engine, api_version);
    let using = Using {
        address: &address,
        session: held.as_ref(),
    };
    let (code, ms) = execute(&verb.command, Some(using), report)?;
    let command = facts::Command {
        exit_code: code,
        ms,
    };
    let ended = || end(&place, held, report);
    let mut ran = Ran {
        code,
        job: None,
        unsaved: None,
        lost: None,
    };
    match guard::hurried(ended, || leftovers::hurry(&place))? {
        Event::Ended(mut job) => {
            job.add_command(command);
            report.down(&job);
            ran.unsaved = job.trouble().map(str::to_owned);
            ran.lost.clone_from(&job.lost);
            ran.job = Some(*job);
        }
        Event::StaysUp { others } => {
            report.stays_up(others);
            let mut job = running.job;
            job.add_command(command);
            ran.job = Some(*job);
        }
        lost => {
            let why = why_lost(lost);
            report.warning(&format!("nothing saved: {why}"));
            ran.unsaved = Some(why);
        }
    }
    Ok(ran)
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

/// The session that a command uses.
struct Using<'a> {
    /// Its engine's.
    address: &'a Address,
    /// Where it tells what happens to it.
    session: Option<&'a UnixStream>,
}

/// Runs a command, passing signals on to it: its exit code, and how long it ran.
fn execute(command: &[OsString], using: Option<Using<'_>>, report: &Report) -> Done<(u8, f64)> {
    let started = Instant::now();
    let code = super::wait_for(async {
        let mut child = tokio::process::Command::new(&command[0]);
        child.args(&command[1..]);
        if let Some(using) = &using {
            using.address.give(&mut child);
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
        let pid = child.id();
        let session = using.and_then(|using| using.session);
        let status = tokio::select! {
            status = signals.pass_on_to(&mut child) => status,
            never = guard::end_if_broken(pid, session, report) => match never {},
        };
        status.map(code_of).map_err(Failure::failed)
    })??;
    Ok((code, started.elapsed().as_secs_f64() * 1000.0))
}
