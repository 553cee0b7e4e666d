//! `larder run -- CMD`: up, the command, down.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

use larder_local::people::Voice as _;
use larder_session::client::{self, Running};
use larder_session::facts::{self, Job};
use larder_session::protocol::Event;
use larder_session::{JobRequest, Lost, Place, SessionError, leftovers, lock};
use larder_settings::Settings;
use larder_settings::args::Run;
use larder_settings::exit::{Done, Failure, code_of, strictly};

use super::guard;
use super::store::collect;
use crate::address::Address;
use crate::report::Report;
use crate::signals::Signals;

/// As shells do: the command was found and could not be run.
const CANNOT_RUN: u8 = 126;
/// As shells do: the command was not found.
const NOT_FOUND: u8 = 127;

/// Runs the command; its exit code is ours.
pub(crate) fn run(verb: &Run, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    super::check_folder("--summary", verb.summary.as_deref())?;
    let (settings, again) = Settings::for_run(verb, report)?;
    let docker = settings.docker.clone();
    let collects = settings.collects(&verb.care)?;
    let place = settings.place();
    let mut request = settings.job_request(report)?;
    let (main, running) = match start(&mut request, place, report) {
        Ok(started) => started,
        Err(failure) if verb.optional => {
            report.warning(&format!("running without Larder: {failure}"));
            let (code, _) = execute(&verb.command, None, report)?;
            return Ok(ExitCode::from(code));
        }
        // There is no other way for directories.
        Err(failure) if !verb.dir.is_empty() => return Err(failure),
        Err(failure) => return Err(super::wait_for(super::refused(failure, &docker))?),
    };
    let mut job = Use {
        verb,
        request,
        api_version: docker.api_version,
        main,
        report,
    };
    let repeats = again.applies_to(&verb.command) && !running.attached;
    let mut ran = job.run_in(running)?;
    if let Some(lost) = ran.lost.take_if(|_| repeats) {
        report.warning(&format!(
            "{}; running the command again on an empty volume (--retry-empty)",
            lost.why
        ));
        job.request.settings.instead_of = Some(lost);
        let running = client::up(&job.request, &job.main, report)?;
        ran = job.run_in(running)?;
    }
    if let Some(report_of) = &ran.job {
        write_report(verb, report_of, report);
        let saved = report_of.saved.as_ref().map(|saved| saved.snapshot);
        collect::after(collects.as_ref(), saved.as_ref(), report);
    }
    if let Some(lost) = &ran.lost {
        return Err(ran.failure(lost));
    }
    let strict = job.request.settings.strict && ran.code == 0;
    strictly(strict, ran.unsaved.as_deref())?;
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

/// A command and what it asks for.
struct Use<'a> {
    verb: &'a Run,
    request: JobRequest,
    api_version: Option<String>,
    /// The place that was asked for; the session may be beside it.
    main: Place,
    report: &'a Report,
}

impl Use<'_> {
    /// Runs the command in a session, and ends its use of it.
    fn run_in(&self, running: Running) -> Done<Ran> {
        let report = self.report;
        // A second session says nothing of what it found: it did not look.
        if self.request.settings.instead_of.is_none() {
            report.running(&running, "using");
        }
        let address = Address::of(&running.job, self.api_version.as_deref());
        let session = Some((&running, &address));
        let (code, ms) = execute(&self.verb.command, session, report)?;
        let command = facts::Command {
            exit_code: code,
            ms,
        };
        let (place, mut job) = (running.place.clone(), running.job.clone());
        let mut ran = Ran {
            code,
            job: None,
            unsaved: None,
            lost: None,
        };
        match guard::hurried(|| end(running, report), || leftovers::hurry(&place))? {
            Event::Ended(mut ended) => {
                leftovers::sweep_after(&place, &self.main);
                ended.add_command(command);
                super::tell_end(&ended, &self.main, self.verb.summary.as_deref(), report);
                ran.unsaved = ended.trouble().map(str::to_owned);
                ran.lost.clone_from(&ended.lost);
                ran.job = Some(*ended);
            }
            Event::StaysUp { others } => {
                report.stays_up(others);
                job.add_command(command);
                ran.job = Some(*job);
            }
            lost => {
                let why = why_lost(lost);
                report.warning(&format!("nothing saved: {why}"));
                if !self.verb.dir.is_empty() {
                    clear(&place, report);
                }
                ran.unsaved = Some(why);
            }
        }
        Ok(ran)
    }
}

/// The place that was asked for, and the session, which may be beside it.
fn start(request: &mut JobRequest, place: Done<Place>, report: &Report) -> Done<(Place, Running)> {
    request.check()?;
    let place = place?;
    let running = client::up(request, &place, report)?;
    Ok((place, running))
}

/// What a session that died has mounted is in the way of all who use its directories.
fn clear(place: &Place, report: &Report) {
    let cleared = lock::take(place).and_then(|lock| match lock {
        Some(_lock) => leftovers::clear(place),
        None => Ok(false),
    });
    if let Err(error) = cleared {
        report.warning(&error.to_string());
    }
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
        let pid = child.id();
        let running = session.map(|(running, _)| running);
        let status = tokio::select! {
            status = signals.pass_on_to(&mut child) => status,
            never = guard::end_if_broken(pid, running, report) => match never {},
        };
        status.map(code_of).map_err(Failure::failed)
    })??;
    Ok((code, started.elapsed().as_secs_f64() * 1000.0))
}
