//! The commands' side of a session: starting the background process, and talking to it.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use larder_local::people::{Progress, Voice};

use crate::facts::Job;
use crate::leftovers;
use crate::protocol::{Event, Request};
use crate::{JobRequest, Place, Result, SessionError};

/// How often a session that drops a connection is asked again.
const CONNECTIONS_MAX: u32 = 3;
/// How long a session may be silent before [`leftovers::unblock`] looks whether it hangs. Silence alone is no
/// fault: a large save takes time.
const SILENCE: Duration = Duration::from_secs(1);

/// A session that a command uses.
#[derive(Debug)]
pub struct Running {
    /// What runs.
    pub job: Box<Job>,
    /// Whether it ran before.
    pub attached: bool,
}

/// Attaches to the session of `place`, or starts one.
pub fn up(request: &JobRequest, place: &Place, voice: &dyn Voice) -> Result<Running> {
    let (job, attached) = match ask(place, Request::Attach, voice)? {
        Some(Event::Running(job)) => (job, true),
        _ => (start(request, voice)?, false),
    };
    Ok(Running { job, attached })
}

/// Asks the session of `place`, and shows what it says on the way; the answer is the last event.
/// `None` if no session runs.
pub fn ask(place: &Place, request: Request, voice: &dyn Voice) -> Result<Option<Event>> {
    // A session that was killed a moment ago still accepts a connection, and then drops it.
    for _ in 0..CONNECTIONS_MAX {
        let Some(stream) = connect(place, request)? else {
            return Ok(None);
        };
        if let Some(event) = last_event(Heard { stream, place }, voice)? {
            return Ok(Some(event));
        }
    }
    Err(SessionError::Silent)
}

/// Connects and writes a request; `None` if no session runs. A session that died before it read the request
/// shows only when its answer is read.
pub fn connect(place: &Place, request: Request) -> Result<Option<UnixStream>> {
    leftovers::unblock(place);
    let mut stream = match UnixStream::connect(place.control()) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(SessionError::BelongsToRoot);
        }
        Err(_) => return Ok(None),
    };
    let mut line = serde_json::to_vec(&request).expect("a request has a JSON form");
    line.push(b'\n');
    let written = stream.set_read_timeout(Some(SILENCE));
    match written.and_then(|()| stream.write_all(&line)) {
        Err(error) if !is_hang_up(&error) => Err(SessionError::io("write to the session")(error)),
        _ => Ok(Some(stream)),
    }
}

/// What a session says. A session that is killed while it waits for its own disk keeps its connections open
/// and is silent. [`leftovers::unblock`] then ends it.
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

fn start(request: &JobRequest, voice: &dyn Voice) -> Result<Box<Job>> {
    let output = spawn(request).map_err(SessionError::io("start the background process"))?;
    voice.progress(Progress::Begun("restoring".to_owned()));
    let last = last_event(output, voice);
    voice.progress(Progress::Over);
    match last? {
        Some(Event::Running(job)) => Ok(job),
        Some(Event::Failed(failed)) => Err(SessionError::Told(failed)),
        Some(other) => Err(SessionError::Unexpected(Box::new(other))),
        None => Err(SessionError::EndedEarly),
    }
}

/// Starts the background process and hands it what it is to do; gives back its standard output.
fn spawn(request: &JobRequest) -> io::Result<ChildStdout> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("__serve")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let text = serde_json::to_vec(request).expect("settings have a JSON form");
    // Dropped behind this line: the process reads until its input ends.
    child.stdin.take().expect("it is piped").write_all(&text)?;
    Ok(child.stdout.take().expect("it is piped"))
}

/// What a session says last; `None` if it ends without a word.
fn last_event(from: impl Read, voice: &dyn Voice) -> Result<Option<Event>> {
    let mut silent = true;
    for line in BufReader::new(from).lines() {
        let line = match line {
            Err(error) if silent && is_hang_up(&error) => return Ok(None),
            line => line.map_err(SessionError::io("read the session's answer: it broke off"))?,
        };
        silent = false;
        match serde_json::from_str(&line) {
            Ok(Event::Note(text)) => voice.note(&text),
            Ok(Event::Warning(text)) => voice.warning(&text),
            Ok(Event::Progress(progress)) => voice.progress(progress),
            Ok(last) => return Ok(Some(last)),
            Err(source) => return Err(SessionError::NotUnderstood(line, source)),
        }
    }
    if silent {
        return Ok(None);
    }
    Err(SessionError::EndedEarly)
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

    struct Nobody;

    impl Voice for Nobody {
        fn note(&self, _: &str) {}
        fn warning(&self, _: &str) {}
        fn progress(&self, _: Progress) {}
    }

    /// What a command hears from a session that says this and ends with the request unread.
    fn heard(said: &[u8]) -> Result<Option<Event>> {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.write_all(b"\"status\"\n").expect("written");
        theirs.write_all(said).expect("written");
        drop(theirs);
        last_event(ours, &Nobody)
    }

    #[test]
    fn a_session_that_is_gone_is_told_from_one_that_breaks_off() {
        assert!(matches!(heard(b""), Ok(None)));
        let note = serde_json::to_vec(&Event::Note("saving".to_owned())).expect("JSON");
        let broken = heard(&[note, b"\n".to_vec()].concat());
        let why = broken.expect_err("it did not end").to_string();
        assert!(why.contains("broke off"), "{why}");
    }
}
