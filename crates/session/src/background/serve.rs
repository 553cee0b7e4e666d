//! The background process, from its first to its last line.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_local::clock::ms_since;
use larder_local::people::Voice as _;
use larder_volume::flusher;
use rustix::fs::OFlags;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use super::events::Events;
use super::finish::finish;
use super::start::{Begun, Live, start};
use super::trouble;
use super::users::{Said, Users};
use crate::facts::NotSaved;
use crate::leftovers::{self, Record};
use crate::lock;
use crate::lost::Lost;
use crate::protocol::{Event, Request};
use crate::{JobRequest, Place, Result, SessionError, Wanted};

/// Who looks whether the state directory is free has its lock for a moment.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// Reads the request from standard input, a socket, and serves one session. A failure is its last event. The
/// command that asked uses the session by this connection.
pub fn serve() {
    let Ok((link, events)) = connection() else {
        tracing::error!("standard input is no connection");
        return;
    };
    if let Err(error) = job_request(&link).and_then(|request| serve_with(request, link, &events)) {
        events.emit(&Event::Failed(error.into()));
    }
}

fn connection() -> io::Result<(UnixStream, Events)> {
    let link = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Programs that are started must not keep it open.
    let null = OpenOptions::new().read(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(null)?;
    let events = Events::to(link.try_clone()?);
    Ok((link, events))
}

fn job_request(link: &UnixStream) -> Result<JobRequest> {
    let mut text = String::new();
    BufReader::new(link)
        .read_line(&mut text)
        .map_err(SessionError::io("read the settings"))?;
    serde_json::from_str(&text).map_err(SessionError::Settings)
}

fn serve_with(request: JobRequest, link: UnixStream, events: &Events) -> Result<()> {
    // What this process starts is known by the session, also when it has died.
    let left = rustix::process::setsid().map_err(io::Error::from);
    left.map_err(SessionError::io("leave the terminal's session"))?;
    let place = Place::of(&request.settings.state)?;
    let Some(_lock) = lock(&place)? else {
        events.emit(&Event::Busy);
        return Ok(());
    };
    if leftovers::clear(&place)? {
        events.note("cleared what an earlier session left behind");
    }
    place.create_run()?;
    let record = Record::begin(request.settings.wanted());
    record.write(&place)?;
    log_to(&place.log())?;
    match flusher::become_flusher() {
        Ok(true) => {}
        other => tracing::warn!(
            ?other,
            "not an IO flusher (CAP_SYS_RESOURCE is missing): under memory pressure the disk may stall"
        ),
    }
    let begun = Begun {
        request,
        place: place.clone(),
        record,
        oom_score: spare_from_oom_killer(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(SessionError::io("start threads"))?;
    let served = runtime.block_on(session(begun, link, events));
    // A save that was ended may still compress something.
    runtime.shutdown_background();
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

/// Makes the state directory and takes its lock; `None` if another process has it.
fn lock(place: &Place) -> Result<Option<File>> {
    let started = Instant::now();
    loop {
        let taken = place.make_state().and_then(|()| lock::take(place));
        let again = match &taken {
            Ok(lock) => lock.is_none(),
            // Who looked at it may have removed it between these two.
            Err(_) => !place.exists(),
        };
        if !again || started.elapsed() > LOCK_LIMIT {
            return taken;
        }
        std::thread::sleep(lock::PAUSE);
    }
}

/// Sends what is logged to the log file.
fn log_to(path: &Path) -> Result<()> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path);
    log.and_then(|log| Ok(rustix::stdio::dup2_stderr(&log)?))
        .map_err(SessionError::path("write", path))
}

/// Without this process the engine's disk is gone. Answers the score that it had.
fn spare_from_oom_killer() -> Option<String> {
    const SCORE: &str = "/proc/self/oom_score_adj";
    let had = std::fs::read_to_string(SCORE);
    match had.and_then(|had| std::fs::write(SCORE, "-1000").map(|()| had)) {
        Ok(had) => Some(had.trim().to_owned()),
        Err(error) => {
            tracing::debug!(%error, "the OOM killer may choose this process");
            None
        }
    }
}

async fn session(begun: Begun, link: UnixStream, events: &Events) -> Result<()> {
    let (strict, control) = (begun.request.settings.strict, begun.place.control());
    let mut live = Box::pin(start(begun, events)).await?;
    if let (true, Some(warning)) = (strict, live.job.warnings.first().cloned()) {
        Box::pin(finish(live, true, None, events)).await;
        return Err(SessionError::Strict(warning));
    }
    live.job.warnings.extend(events.take_warnings());
    let listener = listen(&control).map_err(SessionError::path("listen on", &control))?;
    if !events.emit(&Event::Running(Box::new(live.job.clone()))) {
        tracing::warn!("the command that asked for this session is gone; ending it");
        Box::pin(finish(live, true, None, events)).await;
        return Ok(());
    }
    let objects = live.objects.clone();
    objects.patience().set(trouble::RUNNING);
    let mut users = Users::first(link);
    users.listen(listener);
    let listeners = users.listeners();
    let upkeep = Arc::clone(&live.upkeep);
    let running_since = Instant::now();
    let last = until_down(&mut live, &mut users);
    let last = upkeep.beside(&*listeners, last);
    let last = trouble::telling(&objects, &*listeners, last).await;
    live.job.warnings.extend(listeners.take_warnings());
    if live.job.engine.is_none() && live.job.builder.is_none() {
        live.job.used_ms = Some(ms_since(running_since));
    }
    // From now on no command finds the session; a new one waits for the lock.
    if let Err(error) = std::fs::remove_file(&control) {
        tracing::warn!(%error, "the control socket stays");
    }
    let ((discard, within), events) = match last {
        Last::Down {
            discard,
            within,
            from,
        } => ((discard, within), Events::to(from)),
        Last::Gone => ((false, None), Events::to(std::io::sink())),
    };
    let job = Box::pin(finish(live, discard, within, &events)).await;
    events.emit(&Event::Ended(Box::new(job)));
    Ok(())
}

/// The control socket, which root alone may use.
fn listen(control: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(control)?;
    std::fs::set_permissions(control, Permissions::from_mode(0o600))?;
    Ok(listener)
}

enum Last {
    Down {
        discard: bool,
        within: Option<Duration>,
        from: UnixStream,
    },
    Gone,
}

/// Answers commands until the session is to end.
async fn until_down(live: &mut Live, users: &mut Users) -> Last {
    let mut alarm = live.parts.volume().hear_alarm();
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be caught");
        return Last::Gone;
    };
    let mut is_broken = false;
    loop {
        let said = tokio::select! {
            said = users.next() => said,
            () = alarm.raised(), if live.job.lost.is_none() => {
                is_broken = true;
                lose(live, users);
                alarm.let_go();
                continue;
            }
            () = live.parts.end(), if !is_broken => {
                is_broken = true;
                engine_has_ended(live, users);
                continue;
            }
            _ = terminate.recv() => return Last::Gone,
            _ = interrupt.recv() => return Last::Gone,
        };
        let last = match said {
            Said::First(request, from) => answer(live, users, request, from),
            Said::Further(request, from) => answer_user(users, &request, from),
            Said::Gone => {
                users.release();
                users.are_none().then_some(Last::Gone)
            }
        };
        if let Some(last) = last {
            // Whoever says that it is over may have heard of the engine's end first.
            if !is_broken {
                engine_has_ended(live, users);
            }
            return last;
        }
    }
}

/// What the session is for, as it has come to be.
fn own(live: &Live) -> Wanted {
    let engine = live.job.engine.as_ref();
    Wanted {
        image_store: engine.map(|engine| engine.facts.image_store),
        builder: engine.is_some() && live.job.builder.is_some(),
        ..live.settings.wanted()
    }
}

/// Answers somebody who does not use the session yet.
fn answer(live: &Live, users: &mut Users, request: Request, from: UnixStream) -> Option<Last> {
    let job = Box::new(live.job.clone());
    let own = own(live);
    let (answer, to) = match request {
        Request::Attach(wanted) if own.agrees_with(&wanted) => {
            // It is a use only if the other side is told.
            let copy = from.try_clone().ok()?;
            Events::to(copy).emit(&Event::Running(job));
            users.hold(from);
            return None;
        }
        Request::Attach(_) => (Event::Other(job), from),
        Request::Down { of: Some(of), .. } if !own.is_meant_by(&of) => (Event::Other(job), from),
        Request::Down {
            discard, within, ..
        } if users.end_any() => {
            return Some(Last::Down {
                discard,
                within,
                from,
            });
        }
        Request::Down { .. } => (users.stays_up(), from),
        Request::Status | Request::Keep => (Event::Running(job), from),
    };
    Events::to(to).emit(&answer);
    None
}

/// Answers somebody who uses it, and says what becomes of that use.
fn answer_user(users: &mut Users, request: &Request, from: UnixStream) -> Option<Last> {
    if *request == Request::Keep {
        users.keep();
        return None;
    }
    users.release();
    match request {
        &Request::Down {
            discard, within, ..
        } if users.are_none() => Some(Last::Down {
            discard,
            within,
            from,
        }),
        Request::Down { .. } => {
            Events::to(from).emit(&users.stays_up());
            None
        }
        // Nothing else is a user's to say.
        _ => users.are_none().then_some(Last::Gone),
    }
}

/// A read of the volume has failed. What is done with the engine from now on may be wrong: so it ends at
/// once, before the read is answered, and those who use it are told. Whoever reads a directory meets the fault
/// himself.
fn lose(live: &mut Live, users: &Users) {
    let fault = live.parts.volume().fault();
    let fault = fault.expect("the alarm comes after the fault");
    let what = if live.parts.living().kill() {
        "engine's disk"
    } else {
        "volume"
    };
    let lost = Lost {
        why: format!("the {what} failed: {}", fault.why),
        damage: fault.damage,
    };
    users.tell(&Event::Broken(lost.why.clone()));
    live.job.lost = Some(lost);
}

/// Nothing that such an engine leaves is saved. The rest of it is ended, so that whoever waits for it hears
/// of it now.
fn engine_has_ended(live: &mut Live, users: &Users) {
    let living = live.parts.living();
    let Some((daemon, exit)) = living.dead() else {
        return;
    };
    living.kill();
    let why = format!("the engine's {daemon} {exit} while the session was up");
    live.cannot_save
        .get_or_insert_with(|| NotSaved::Because(why.clone()));
    users.tell(&Event::Broken(why));
}
