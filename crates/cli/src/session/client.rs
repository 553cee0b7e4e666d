//! The commands' side of a session: starting the background process, and talking to it.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::facts::Job;
use super::leftovers;
use super::place::Place;
use super::protocol::{Event, Request};
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::settings::Settings;

/// A session that a command uses.
#[derive(Debug)]
pub struct Running {
    /// What runs.
    pub job: Box<Job>,
    /// Whether it ran before.
    pub attached: bool,
}

/// Attaches to the session of `place`, or starts one.
pub fn up(settings: &Settings, place: &Place, report: &Report) -> Done<Running> {
    if let Some(Event::Running(job)) = ask(place, Request::Attach, report)? {
        return Ok(Running {
            job,
            attached: true,
        });
    }
    let job = start(settings, report)?;
    Ok(Running {
        job,
        attached: false,
    })
}

/// Asks the session of `place`, and shows what it says on the way; the answer is the last event.
/// `None` if no session runs.
pub fn ask(place: &Place, request: Request, report: &Report) -> Done<Option<Event>> {
    match connect(place, request)? {
        Some(stream) => last_event(stream, report).map(Some),
        None => Ok(None),
    }
}

/// Connects and writes a request; `None` if no session runs.
pub fn connect(place: &Place, request: Request) -> Done<Option<UnixStream>> {
    leftovers::unblock(place);
    let Ok(mut stream) = UnixStream::connect(place.control()) else {
        return Ok(None);
    };
    let mut line = serde_json::to_vec(&request).expect("a request has a JSON form");
    line.push(b'\n');
    stream
        .write_all(&line)
        .map_err(|error| Failure::failed(format!("the session does not listen: {error}")))?;
    Ok(Some(stream))
}

fn start(settings: &Settings, report: &Report) -> Done<Box<Job>> {
    let failed = |error: std::io::Error| {
        Failure::failed(format!("cannot start the background process: {error}"))
    };
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(program)
        .arg("__serve")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let text = serde_json::to_vec(settings).expect("settings have a JSON form");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(&text).map_err(failed)?;
    drop(input);
    let output = child.stdout.take().expect("it is piped");
    match last_event(output, report)? {
        Event::Running(job) => Ok(job),
        Event::Failed(failure) => Err(failure),
        other => Err(Failure::failed(format!(
            "the background process said {other:?}"
        ))),
    }
}

fn last_event(from: impl Read, report: &Report) -> Done<Event> {
    for line in BufReader::new(from).lines() {
        let line =
            line.map_err(|error| Failure::failed(format!("the session broke off: {error}")))?;
        let event: Event = serde_json::from_str(&line)
            .map_err(|error| Failure::failed(format!("the session said {line:?}: {error}")))?;
        if event.is_last() {
            return Ok(event);
        }
        report.event(&event);
    }
    Err(Failure::failed(
        "the background process ended without a word; the next `larder up` clears what it left",
    ))
}
