//! The commands' side of a session: starting the background process, and talking to it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use larder_engine::Asked;
use larder_local::people::{Progress, Voice};

use crate::facts::Job;
use crate::leftovers;
use crate::lock;
use crate::protocol::{Event, Request};
use crate::settings::Wanted;
use crate::{JobRequest, Place, Result, SessionError};

/// How often a session that drops a connection is asked again.
const CONNECTIONS_MAX: u32 = 3;
/// How long a session may be silent before [`leftovers::unblock`] looks whether it hangs. Silence alone is no
/// fault: a large save takes time.
const SILENCE: Duration = Duration::from_secs(1);
/// After so many of these it is said what the session waits for.
const SILENCES_MAX: u32 = 4;
/// How long to wait for a session of the same state directory that starts or ends. Many that start at once
/// on two cores take a minute; a save may take longer, and then it is not waited for.
const BUSY_LIMIT: Duration = Duration::from_secs(120);

/// A session that a command uses as long as it has this. If the command is killed, its use is over.
#[derive(Debug)]
pub struct Running {
    /// What runs.
    pub job: Box<Job>,
    /// Whether it ran before.
    pub attached: bool,
    /// Where it is: beside the place that was asked for, if another session is there.
    pub place: Place,
    link: Link,
}

impl Running {
    /// Lets the use last until somebody's `Down`, however this command ends.
    pub fn keep(mut self) -> Result<()> {
        self.link.send(&Request::Keep)
    }

    /// Ends the use.
    pub fn down(self, voice: &dyn Voice) -> Result<Event> {
        self.end(None, voice)
    }

    /// Ends the use within a time: what is not stored by then is not published.
    pub fn down_within(self, time: Duration, voice: &dyn Voice) -> Result<Event> {
        self.end(Some(time), voice)
    }

    fn end(mut self, within: Option<Duration>, voice: &dyn Voice) -> Result<Event> {
        let stream = self.link.reader.get_ref();
        let blocking = stream.set_nonblocking(false);
        blocking.map_err(SessionError::io("listen to the session"))?;
        self.link.send(&Request::Down {
            discard: false,
            within,
            of: None,
        })?;
        let answer = self.link.answer(voice)?;
        answer.ok_or(SessionError::EndedEarly)
    }

    /// The connection, on which the session says [`Event::Broken`] if it comes to that.
    pub fn connection(&self) -> io::Result<UnixStream> {
        self.link.reader.get_ref().try_clone()
    }
}

/// Attaches to the session that is for the same as this request, or starts one: at the state directory's
/// own place, or beside the session for something else that is there.
pub fn up(request: &JobRequest, place: &Place, voice: &dyn Voice) -> Result<Running> {
    let wanted = request.settings.wanted();
    leftovers::sweep(place);
    if let Some(running) = up_at(place.clone(), request, &wanted, voice)? {
        return Ok(running);
    }
    if request.settings.engine == Asked::Takeover {
        return Err(SessionError::Occupied(
            place.state().to_owned(),
            Box::new(wanted),
        ));
    }
    let beside = place.beside(&wanted);
    let mut request = request.clone();
    request.settings.engine = Asked::Private;
    request.settings.state.clone_from(&beside.state);
    voice.note("another session has the state directory; this job gets one of its own beside it");
    let running = up_at(beside.clone(), &request, &wanted, voice)?;
    running.ok_or(SessionError::Busy(beside.state().to_owned()))
}

/// The same at one place; `None` if that is somebody else's.
fn up_at(
    place: Place,
    request: &JobRequest,
    wanted: &Wanted,
    voice: &dyn Voice,
) -> Result<Option<Running>> {
    let (began, mut told) = (Instant::now(), false);
    loop {
        let (answer, attached) = match talk(&place, &Request::Attach(wanted.clone()), voice)? {
            Some(answer) => (answer, true),
            None if is_free(&place)? => (start(&place, request, voice)?, false),
            None => ((Event::Busy, None), false),
        };
        match answer {
            (Event::Running(job), Some(link)) => {
                return Ok(Some(Running {
                    job,
                    attached,
                    place,
                    link,
                }));
            }
            (Event::Other(_), _) => return Ok(None),
            (Event::Busy, _) => {}
            (Event::Failed(failed), _) => return Err(SessionError::Told(failed)),
            (other, _) => return Err(SessionError::Unexpected(Box::new(other))),
        }
        if leftovers::is_of_other(&place, wanted) || began.elapsed() > BUSY_LIMIT {
            return Ok(None);
        }
        if began.elapsed() > SILENCE && !told {
            voice.note("waiting for the session, which is starting or ending");
            leftovers::unblock_others();
            told = true;
        }
        std::thread::sleep(lock::PAUSE);
    }
}

/// Whether no process has the state directory now.
fn is_free(place: &Place) -> Result<bool> {
    Ok(!place.exists() || lock::take(place)?.is_some())
}

/// Asks the session for this beside that of `place`, if there is one; else that of `place`, whatever it is for.
pub fn ask_own(
    place: &Place,
    wanted: &Wanted,
    request: &Request,
    voice: &dyn Voice,
) -> Result<Option<Event>> {
    match ask(&place.beside(wanted), request, voice)? {
        None => ask(place, request, voice),
        answer => Ok(answer),
    }
}

/// Asks the session of `place`, and shows what it says on the way; the answer is the last event.
/// `None` if no session runs.
pub fn ask(place: &Place, request: &Request, voice: &dyn Voice) -> Result<Option<Event>> {
    Ok(talk(place, request, voice)?.map(|(event, _)| event))
}

/// The session's answer, and the connection on which it came.
type Answer = (Event, Option<Link>);

fn talk(place: &Place, request: &Request, voice: &dyn Voice) -> Result<Option<Answer>> {
    // A session that was killed a moment ago still accepts a connection, and then drops it.
    for _ in 0..CONNECTIONS_MAX {
        let Some(mut link) = Link::connect(place)? else {
            return Ok(None);
        };
        link.send(request)?;
        if let Some(event) = link.answer(voice)? {
            return Ok(Some((event, Some(link))));
        }
    }
    Err(SessionError::Silent)
}

fn start(place: &Place, request: &JobRequest, voice: &dyn Voice) -> Result<Answer> {
    let started = spawn(request).map_err(SessionError::io("start the background process"));
    let mut link = Link::over(started?, place)?;
    voice.progress(Progress::Begun("restoring".to_owned()));
    let last = link.answer(voice);
    voice.progress(Progress::Over);
    Ok((last?.ok_or(SessionError::EndedEarly)?, Some(link)))
}

/// Starts the background process and hands it what it is to do, on the connection that is given back.
fn spawn(request: &JobRequest) -> io::Result<UnixStream> {
    let (mut ours, theirs) = UnixStream::pair()?;
    Command::new(std::env::current_exe()?)
        .arg("__serve")
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = serde_json::to_vec(request).expect("settings have a JSON form");
    line.push(b'\n');
    ours.write_all(&line)?;
    Ok(ours)
}

/// A connection to a session, or to one that starts.
#[derive(Debug)]
struct Link {
    reader: BufReader<UnixStream>,
    place: Place,
}

impl Link {
    /// `None` if no session runs. One that died before it read a request shows only when its answer is read.
    fn connect(place: &Place) -> Result<Option<Self>> {
        leftovers::unblock(place);
        match UnixStream::connect(place.control()) {
            Ok(stream) => Self::over(stream, place).map(Some),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(SessionError::BelongsToRoot)
            }
            Err(_) => Ok(None),
        }
    }

    fn over(stream: UnixStream, place: &Place) -> Result<Self> {
        let limited = stream.set_read_timeout(Some(SILENCE));
        limited.map_err(SessionError::io("listen to the session"))?;
        Ok(Self {
            reader: BufReader::new(stream),
            place: place.clone(),
        })
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request).expect("a request has a JSON form");
        line.push(b'\n');
        match self.reader.get_mut().write_all(&line) {
            Err(error) if !is_hang_up(&error) => {
                Err(SessionError::io("write to the session")(error))
            }
            _ => Ok(()),
        }
    }

    /// What the session says last; `None` if it ends without a word.
    fn answer(&mut self, voice: &dyn Voice) -> Result<Option<Event>> {
        let mut silent = true;
        loop {
            let line = match self.line(voice) {
                Err(error) if silent && is_hang_up(&error) => return Ok(None),
                line => {
                    line.map_err(SessionError::io("read the session's answer: it broke off"))?
                }
            };
            if line.is_empty() && silent {
                return Ok(None);
            }
            silent = false;
            match serde_json::from_slice(&line) {
                Ok(Event::Note(text)) => voice.note(&text),
                Ok(Event::Warning(text) | Event::Broken(text)) => voice.warning(&text),
                Ok(Event::Progress(progress)) => voice.progress(progress),
                Ok(last) => return Ok(Some(last)),
                Err(_) if line.is_empty() => return Err(SessionError::EndedEarly),
                Err(source) => {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    return Err(SessionError::NotUnderstood(line, source));
                }
            }
        }
    }

    /// The next line; an empty one at the end. A session that is killed while it waits for its own disk keeps
    /// its connections open and is silent. [`leftovers::unblock`] then ends it.
    fn line(&mut self, voice: &dyn Voice) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut silences = 0;
        loop {
            match self.reader.read_until(b'\n', &mut line) {
                // The time limit of a socket (read(2), EAGAIN).
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    leftovers::unblock(&self.place);
                    leftovers::unblock_others();
                    silences += 1;
                    if silences == SILENCES_MAX {
                        self.tell_what_runs(voice);
                    }
                }
                read => return read.map(|_| line),
            }
        }
    }

    fn tell_what_runs(&self, voice: &dyn Voice) {
        if let Some(program) = leftovers::program(&self.place) {
            voice.note(&format!("waiting for `{program}`"));
        }
    }
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
    use larder_local::own::OwnFolder;
    use larder_local::people::Nobody;

    use super::*;

    /// What a command hears from a session that says this and ends with the request unread.
    fn heard(said: &[u8]) -> Result<Option<Event>> {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.write_all(b"\"status\"\n").expect("written");
        theirs.write_all(said).expect("written");
        drop(theirs);
        let state = OwnFolder::new("/no/such/state".into(), None);
        let place = Place::of(&state).expect("nothing is there");
        Link::over(ours, &place)?.answer(&Nobody)
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
