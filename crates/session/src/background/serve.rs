//! The background process, from its first to its last line.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use larder_local::people::Voice as _;
use larder_volume::flusher;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::events::Events;
use super::finish::finish;
use super::start::{Live, start};
use crate::leftovers;
use crate::lock;
use crate::protocol::{Event, Request};
use crate::{JobRequest, Place, Result, SessionError};

/// Time for another background process of the same state directory to end.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
const REQUEST_MAX_BYTES: u64 = 4096;

/// Reads the request from standard input and serves one session. A failure is its last event.
pub fn serve() {
    let events = Events::to(std::io::stdout());
    if let Err(error) = job_request().and_then(|request| serve_with(request, &events)) {
        events.emit(&Event::Failed(error.into()));
    }
}

fn job_request() -> Result<JobRequest> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(SessionError::io("read the settings"))?;
    serde_json::from_str(&text).map_err(SessionError::Settings)
}

fn serve_with(request: JobRequest, events: &Events) -> Result<()> {
    let place = Place::of(&request.settings.state)?;
    place.create()?;
    let _lock = lock(&place)?;
    if leftovers::clear(&place)? {
        events.note("cleared what an earlier session left behind");
    }
    // Clearing removes the directory below /run, and so did a session that ended just now.
    place.create()?;
    detach(&place)?;
    match flusher::become_flusher() {
        Ok(true) => {}
        other => tracing::warn!(
            ?other,
            "not an IO flusher (CAP_SYS_RESOURCE is missing): under memory pressure the disk may stall"
        ),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(SessionError::io("start threads"))?;
    let served = runtime.block_on(session(request, place.clone(), events));
    if served.is_err() {
        clear_failed_start(&place);
    }
    served
}

/// If something cannot be cleared the record stays, and the next command tries again.
fn clear_failed_start(place: &Place) {
    match leftovers::clear(place) {
        Ok(true) => {}
        Ok(false) => leftovers::forget(place),
        Err(error) => tracing::warn!(%error, "not all was cleared"),
    }
}

fn lock(place: &Place) -> Result<File> {
    let started = Instant::now();
    loop {
        if let Some(file) = lock::take(place)? {
            return Ok(file);
        }
        if started.elapsed() > LOCK_LIMIT {
            return Err(SessionError::Busy(place.state().to_owned()));
        }
        std::thread::sleep(lock::PAUSE);
    }
}

/// Leaves the terminal's session, and sends what is logged to the log file.
fn detach(place: &Place) -> Result<()> {
    let left = rustix::process::setsid().map_err(io::Error::from);
    left.map_err(SessionError::io("leave the terminal's session"))?;
    let path = place.log();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    log.and_then(|log| Ok(rustix::stdio::dup2_stderr(&log)?))
        .map_err(SessionError::path("write", &path))
}

/// What a connection asks of the session.
struct Asked {
    request: Request,
    from: Answers,
}

/// A connection, as answers are written to it.
type Answers = std::os::unix::net::UnixStream;

async fn session(request: JobRequest, place: Place, events: &Events) -> Result<()> {
    let strict = request.settings.strict;
    let mut live = start(request, place.clone(), events).await?;
    if let (true, Some(warning)) = (strict, live.job.warnings.first().cloned()) {
        finish(live, true, events).await;
        return Err(SessionError::Strict(warning));
    }
    live.job.warnings.extend(events.take_warnings());
    let control = place.control();
    let listener = listen(&control).map_err(SessionError::path("listen on", &control))?;
    if !events.emit(&Event::Running(Box::new(live.job.clone()))) {
        tracing::warn!("the command that asked for this session is gone; ending it");
        finish(live, true, events).await;
        return Ok(());
    }
    release_stdout();
    spare_from_oom_killer();
    let (asks, mut asked) = mpsc::channel(16);
    tokio::spawn(accept(listener, asks));
    let last = until_down(&mut live, &mut asked).await;
    // From now on no command finds the session; a new one waits for the lock.
    if let Err(error) = std::fs::remove_file(&control) {
        tracing::warn!(%error, "the control socket stays");
    }
    let (discard, events) = match last {
        Last::Down { discard, from } => (discard, Events::to(from)),
        Last::Signal => (false, Events::to(std::io::sink())),
    };
    let job = finish(live, discard, &events).await;
    events.emit(&Event::Ended(Box::new(job)));
    Ok(())
}

/// The control socket, which root alone may use.
fn listen(control: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(control)?;
    std::fs::set_permissions(control, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Without this process the engine's disk is gone. The engine, which was started before, keeps the score
/// that it had.
fn spare_from_oom_killer() {
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "-1000") {
        tracing::debug!(%error, "the OOM killer may choose this process");
    }
}

/// Closes standard output: a shell that reads it to its end may go on.
fn release_stdout() {
    let null = OpenOptions::new().write(true).open("/dev/null");
    if let Err(error) = null.and_then(|null| Ok(rustix::stdio::dup2_stdout(null)?)) {
        tracing::warn!(%error, "standard output stays open");
    }
}

enum Last {
    Down { discard: bool, from: Answers },
    Signal,
}

/// Answers commands until the session is to end.
async fn until_down(live: &mut Live, asked: &mut mpsc::Receiver<Asked>) -> Last {
    let mut others = 0_usize;
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be caught");
        return Last::Signal;
    };
    let (released, mut gone) = mpsc::channel::<()>(1);
    loop {
        let asked = tokio::select! {
            Some(asked) = asked.recv() => asked,
            Some(()) = gone.recv() => match others.checked_sub(1) {
                Some(fewer) => {
                    others = fewer;
                    continue;
                }
                None => return Last::Signal,
            },
            _ = terminate.recv() => return Last::Signal,
            _ = interrupt.recv() => return Last::Signal,
        };
        let answer = match asked.request {
            Request::Status => Event::Running(Box::new(live.job.clone())),
            Request::Attach => {
                others += 1;
                Event::Running(Box::new(live.job.clone()))
            }
            Request::Hold => {
                hold(asked.from, released.clone());
                continue;
            }
            Request::Down { discard } if others == 0 => {
                return Last::Down {
                    discard,
                    from: asked.from,
                };
            }
            Request::Down { .. } => {
                others -= 1;
                Event::StaysUp { others }
            }
        };
        Events::to(asked.from).emit(&answer);
    }
}

/// Watches the connection of a `run`: one that is killed has taken back its use of the session.
fn hold(from: Answers, released: mpsc::Sender<()>) {
    tokio::spawn(async move {
        let stream = from.set_nonblocking(true);
        if let Ok(mut stream) = stream.and_then(|()| UnixStream::from_std(from))
            && stream.read_u8().await.is_ok()
        {
            // The `run` has asked for `Down` itself, and others still use the session.
            return;
        }
        tracing::warn!("a command that used this session is gone");
        // The session may be ending already.
        let _ = released.send(()).await;
    });
}

async fn accept(listener: UnixListener, asks: mpsc::Sender<Asked>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let asks = asks.clone();
                tokio::spawn(async move {
                    match read_request(stream).await {
                        // The session is ending when nobody receives any more.
                        Ok(asked) => drop(asks.send(asked).await),
                        Err(error) => tracing::warn!(%error, "a connection was not understood"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection failed");
                tokio::time::sleep(lock::PAUSE).await;
            }
        }
    }
}

async fn read_request(stream: UnixStream) -> std::io::Result<Asked> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(REQUEST_MAX_BYTES));
    reader.read_line(&mut line).await?;
    let request = serde_json::from_str(&line)?;
    let from = reader.into_inner().into_inner().into_std()?;
    from.set_nonblocking(false)?;
    Ok(Asked { request, from })
}
