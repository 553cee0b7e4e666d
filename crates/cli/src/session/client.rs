//! The commands' side of a session: starting the background process, and talking to it.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::facts::Job;
use super::leftovers;
use super::place::Place;
use super::protocol::{Event, Request};
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::settings::Settings;

/// How often a session that drops a connection is asked again.
const CONNECTIONS_MAX: u32 = 3;
/// How long a session may be silent before it is looked after. Silence is no fault: a large save takes time.
const SILENCE: Duration = Duration::from_secs(1);
const ENDED: &str = "the background process ended early; the next `larder up` clears what it left";

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
    // One that was killed a moment ago still takes a connection, and drops it without a word.
    for _ in 0..CONNECTIONS_MAX {
        let Some(stream) = connect(place, request)? else {
            return Ok(None);
        };
        if let Some(event) = last_event(Heard { stream, place }, report)? {
            return Ok(Some(event));
        }
    }
    Err(Failure::failed(
        "the session takes connections and does not answer",
    ))
}

/// Connects and writes a request; `None` if no session runs. One that died before it took the request
/// is found out by its answer.
pub fn connect(place: &Place, request: Request) -> Done<Option<UnixStream>> {
    leftovers::unblock(place);
    let mut stream = match UnixStream::connect(place.control()) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Failure::machine(
                "sessions belong to root: run larder with sudo -E",
            ));
        }
        Err(_) => return Ok(None),
    };
    let mut line = serde_json::to_vec(&request).expect("a request has a JSON form");
    line.push(b'\n');
    let written = stream.set_read_timeout(Some(SILENCE));
    match written.and_then(|()| stream.write_all(&line)) {
        Err(error) if !is_hang_up(&error) => Err(Failure::failed(format!(
            "the session does not listen: {error}"
        ))),
        _ => Ok(Some(stream)),
    }
}

/// What a session says. One that is killed while it waits for its own disk keeps its connections open and
/// says nothing more; it is let go of, and ends.
struct Heard<'a> {
    stream: UnixStream,
    place: &'a Place,
}

impl Read for Heard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                // The time limit of a socket (read(2), EAGAIN).
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    leftovers::unblock(self.place);
                }
                read => return read,
            }
        }
    }
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
    report.begin("restoring");
    let last = last_event(output, report);
    report.clear_progress();
    match last? {
        Some(Event::Running(job)) => Ok(job),
        Some(Event::Failed(failure)) => Err(failure),
        Some(other) => Err(Failure::failed(format!(
            "the background process said {other:?}"
        ))),
        None => Err(Failure::failed(ENDED)),
    }
}

/// What a session says last; `None` if it ends without a word.
fn last_event(from: impl Read, report: &Report) -> Done<Option<Event>> {
    let mut silent = true;
    for line in BufReader::new(from).lines() {
        let line = match line {
            Err(error) if silent && is_hang_up(&error) => return Ok(None),
            line => {
                line.map_err(|error| Failure::failed(format!("the session broke off: {error}")))?
            }
        };
        silent = false;
        let event: Event = serde_json::from_str(&line)
            .map_err(|error| Failure::failed(format!("the session said {line:?}: {error}")))?;
        if event.is_last() {
            return Ok(Some(event));
        }
        report.event(&event);
    }
    if silent {
        return Ok(None);
    }
    Err(Failure::failed(ENDED))
}

/// Whether the other side is gone.
fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard of a session that says this, and is gone with a request unread.
    fn heard(said: &[u8]) -> Done<Option<Event>> {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.write_all(b"\"status\"\n").expect("written");
        theirs.write_all(said).expect("written");
        drop(theirs);
        last_event(ours, &Report::new(true))
    }

    #[test]
    fn a_session_that_is_gone_is_told_from_one_that_breaks_off() {
        assert!(matches!(heard(b""), Ok(None)));
        let note = serde_json::to_vec(&Event::Note("saving".to_owned())).expect("JSON");
        let broken = heard(&[note, b"\n".to_vec()].concat());
        let why = broken.expect_err("it did not end").message;
        assert!(why.contains("broke off"), "{why}");
    }
}
