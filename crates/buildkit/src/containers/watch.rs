//! Following the builders of a running engine.
//!
//! The engine tells of a container once it is made, some ten milliseconds before it can start: its client
//! has to ask for that, after it has copied the configuration in. Of a volume it tells only when that is
//! gone. So the kernel is asked to be told of it (fanotify(7)): the engine opens the directory before it
//! removes what is in it (Go's `os.RemoveAll`), and waits until it may.

use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use larder_docker::{ContainerEvent, ContainerEvents, Remote};
use larder_engine::builders::is_builder;
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, RawDir, fstat};
use rustix::io::retry_on_intr;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pipe::PipeFlags;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::choice::choose;
use super::shelf::Shelf;
use crate::error::{EngineError, Result};

/// A builder of this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The container's name.
    pub(super) name: String,
    /// Its image, as it was asked for.
    pub(super) image: String,
    pub(super) id: String,
    pub(super) ordinal: usize,
    /// Whose state it was given.
    pub(super) given: Option<String>,
    pub(super) end: End,
}

/// How a builder's container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was never started.
    Unused,
    Running,
    Exited(i32),
    /// It is none of buildx's, but runs `BuildKit` all the same.
    Elsewhere,
}

impl End {
    /// Whether `BuildKit` ended by itself: it answers 1 when it is asked to end (`cmd/buildkitd/main.go`).
    pub(super) fn is_clean(self) -> bool {
        matches!(self, Self::Exited(0 | 1))
    }
}

impl Seen {
    /// Whether its `BuildKit` ended by itself when it was asked to, so that what it left may be kept.
    pub fn has_ended_well(&self) -> bool {
        self.end.is_clean()
    }

    fn new(event: &ContainerEvent, ordinal: usize, end: End) -> Self {
        Self {
            name: event.name.clone(),
            image: event.image.clone(),
            id: event.id.clone(),
            ordinal,
            given: None,
            end,
        }
    }
}

/// The builders of a running engine, followed until this is ended or dropped.
#[derive(Debug)]
pub struct Builders {
    watcher: Arc<Watcher>,
    following: JoinHandle<()>,
    /// Answers the kernel, until the other end of its pipe is closed.
    answering: Option<(OwnedFd, std::thread::JoinHandle<()>)>,
}

impl Builders {
    /// The root of a volume, for [`Builders::watch`]. Call it where the volume is mounted.
    ///
    /// dockerd mounts its root over itself (moby `daemon/daemon_linux.go`), and nothing is renamed from one
    /// mount to another. So this is a mount of its own, with nothing mounted in it.
    pub fn open(volume: &Path) -> Result<OwnedFd> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        open_tree(CWD, volume, flags)
            .map_err(|errno| EngineError::io("cannot open", volume)(errno.into()))
    }

    /// Begins to follow them. `volume` is the root of the volume, from [`Builders::open`].
    pub async fn watch(volume: OwnedFd, engine: &Remote) -> Self {
        let guard = Guard::new();
        let guard = guard.inspect_err(
            |error| tracing::warn!(%error, "a builder that is removed before `down` is not remembered"),
        );
        let watcher = Arc::new(Watcher {
            shelf: Shelf {
                // The directory, and not the link to it.
                root: PathBuf::from(format!("/proc/self/fd/{}/.", volume.as_raw_fd())),
            },
            _volume: volume,
            seen: Mutex::default(),
            heard: Notify::new(),
            guard: guard.ok(),
        });
        let (following, answering) = match answer(&watcher) {
            Ok(answering) => {
                let events = engine.lives_of_containers().await;
                let following = Arc::clone(&watcher).follow(events);
                (tokio::spawn(following), Some(answering))
            }
            Err(error) => {
                tracing::warn!(%error, "no builder is remembered");
                (tokio::spawn(async {}), None)
            }
        };
        Self {
            watcher,
            following,
            answering,
        }
    }

    /// Those that there were. Call it when all are stopped and before the engine is, which waits for whoever
    /// hears its events. The last of these may take `patience`. Nothing of the volume is open after this.
    pub async fn end(mut self, patience: Duration) -> Vec<Seen> {
        let rested = async {
            while self.watcher.seen().iter().any(|it| it.end == End::Running) {
                self.watcher.heard.notified().await;
            }
        };
        if tokio::time::timeout(patience, rested).await.is_err() {
            tracing::info!("builders still run");
        }
        self.following.abort();
        // It was ended just now, or ended by itself: both are its end.
        let _ = (&mut self.following).await;
        if let Some((open, thread)) = self.answering.take() {
            drop(open);
            let joined = tokio::task::spawn_blocking(|| thread.join()).await;
            tracing::trace!(?joined, "no builder is guarded any more");
        }
        std::mem::take(&mut *self.watcher.seen())
    }
}

impl Drop for Builders {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Starts a thread that answers whoever wants to open a guarded directory.
fn answer(watcher: &Arc<Watcher>) -> std::io::Result<(OwnedFd, std::thread::JoinHandle<()>)> {
    let (end, open) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let watcher = Arc::clone(watcher);
    let thread = std::thread::Builder::new().name("builders".into());
    let thread = thread.spawn(move || {
        let Some(guard) = &watcher.guard else { return };
        let mut ready = [
            PollFd::new(&end, PollFlags::IN),
            PollFd::new(&guard.0, PollFlags::IN),
        ];
        while retry_on_intr(|| poll(&mut ready, None)).is_ok() && ready[0].revents().is_empty() {
            guard.answer(|directory| watcher.take_off(directory));
        }
    })?;
    Ok((open, thread))
}

#[derive(Debug)]
struct Watcher {
    shelf: Shelf,
    /// Keeps the path to it good.
    _volume: OwnedFd,
    seen: Mutex<Vec<Seen>>,
    /// Told of every event.
    heard: Notify,
    guard: Option<Guard>,
}

impl Watcher {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow(self: Arc<Self>, events: larder_docker::Result<ContainerEvents>) {
        let mut events = match events {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(%error, "the engine's events are not heard: no builder is remembered");
                return;
            }
        };
        while let Some(event) = events.next().await {
            tokio::task::block_in_place(|| self.hear(&event));
            self.heard.notify_one();
        }
    }

    fn hear(&self, event: &ContainerEvent) {
        match (event.action.as_str(), event.exit_code) {
            ("create", _) if !is_builder(&event.name) => self.note_elsewhere(event),
            ("create", _) => {
                let created = self.created(event);
                if let Err(error) = created {
                    tracing::warn!(%error, builder = event.name, "not remembered");
                }
            }
            ("start", _) => self.note(event, End::Running),
            ("die", code) => self.note(event, End::Exited(code.unwrap_or(-1))),
            _ => {}
        }
    }

    fn note_elsewhere(&self, event: &ContainerEvent) {
        if is_buildkit(&event.image) {
            self.seen().push(Seen::new(event, 0, End::Elsewhere));
        }
    }

    fn note(&self, event: &ContainerEvent, end: End) {
        let mut seen = self.seen();
        let builder = seen.iter_mut().find(|builder| builder.name == event.name);
        if let Some(builder) = builder.filter(|builder| builder.end != End::Elsewhere) {
            builder.end = end;
        }
    }

    fn created(&self, event: &ContainerEvent) -> Result<()> {
        let mut seen = self.seen();
        let known = seen.iter().position(|builder| builder.name == event.name);
        let at = known.unwrap_or_else(|| {
            let alike = seen.iter().filter(|builder| builder.image == event.image);
            let builder = Seen::new(event, alike.count(), End::Unused);
            seen.push(builder);
            seen.len() - 1
        });
        seen[at].id.clone_from(&event.id);
        // Looking into a directory that is guarded would wait for ourselves.
        let data = self.shelf.data(&event.name)?;
        if let Some((guard, data)) = self.guard.as_ref().zip(data) {
            guard.unmark(&data);
        }
        if self.shelf.awaits_state(&event.name)?
            && let Some(from) = self.state_for(&seen, at, known.is_some())?
            && self.shelf.hand_over(&from, &event.name)?
        {
            tracing::info!(from, to = event.name, "a builder's state");
            seen[at].given = Some(from);
        }
        if let (Some(guard), Some(data)) = (&self.guard, self.shelf.data(&event.name)?) {
            guard.mark(&data);
        }
        Ok(())
    }

    /// Whose state a builder gets: its own if it was removed before in this session and is back, else that of
    /// an earlier session's.
    fn state_for(&self, seen: &[Seen], at: usize, is_back: bool) -> Result<Option<String>> {
        let Seen {
            name,
            image,
            ordinal,
            end,
            ..
        } = &seen[at];
        if is_back {
            return Ok(end.is_clean().then(|| name.clone()));
        }
        let mut kept = self.shelf.records()?;
        kept.retain(|record| record.name == *name || !is_in_use(seen, &record.name));
        let chosen = choose(&kept, name, image, *ordinal);
        Ok(chosen.map(|record| record.name.clone()))
    }

    /// Takes what is in a directory that the engine has opened, if it is about to remove it: the state of a
    /// builder whose container is gone.
    fn take_off(&self, directory: BorrowedFd<'_>) {
        let seen = self.seen();
        let taken = seen.iter().find_map(|builder| {
            let data = self.shelf.data(&builder.name).ok()??;
            let is_it = is_same(directory, &data)?;
            let container = self.shelf.root.join("docker/containers").join(&builder.id);
            let goes = is_it && !container.exists();
            goes.then(|| self.move_to_shelf(directory, &data, &builder.name))
        });
        if let Some(Err(error)) = taken {
            tracing::warn!(%error, "the state of a builder is lost");
        }
    }

    /// `directory` is that of `data`, on another mount.
    fn move_to_shelf(&self, directory: BorrowedFd<'_>, data: &Path, name: &str) -> Result<()> {
        let Some(room) = self.shelf.make_room_for(name)? else {
            return Ok(());
        };
        let failed = || EngineError::io("cannot move a builder's state to", &room);
        for entry in names_of(directory).map_err(|errno| failed()(errno.into()))? {
            std::fs::rename(data.join(&entry), room.join(&entry)).map_err(failed())?;
        }
        Ok(())
    }
}

/// `moby/buildkit:rootless` and the like.
fn is_buildkit(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split([':', '@']).next() == Some("buildkit")
}

/// Whether the state that a builder of an earlier session left belongs to one of this session.
fn is_in_use(seen: &[Seen], name: &str) -> bool {
    seen.iter()
        .any(|builder| builder.name == name || builder.given.as_deref() == Some(name))
}

/// Without opening the path, which would be guarded against us too.
fn is_same(directory: BorrowedFd<'_>, path: &Path) -> Option<bool> {
    let (one, other) = (fstat(directory).ok()?, rustix::fs::lstat(path).ok()?);
    Some((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Reads the descriptor itself: opening the directory again would be guarded too.
fn names_of(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<OsString>> {
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_bytes().to_owned();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}

/// Directories that nobody opens before we have answered.
#[derive(Debug)]
struct Guard(Fanotify);

impl Guard {
    fn new() -> std::io::Result<Self> {
        let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let files = EventFFlags::O_RDONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC;
        Ok(Self(Fanotify::init(flags, files)?))
    }

    fn mark(&self, directory: &Path) {
        let marked = self.change(MarkFlags::FAN_MARK_ADD, directory);
        if let Err(error) = marked {
            tracing::warn!(%error, "this builder is not remembered if it is removed before `down`");
        }
    }

    fn unmark(&self, directory: &Path) {
        // It mostly has no mark.
        let unmarked = self.change(MarkFlags::FAN_MARK_REMOVE, directory);
        tracing::trace!(?unmarked, "looking at a builder's volume");
    }

    fn change(&self, how: MarkFlags, directory: &Path) -> nix::Result<()> {
        let mask = MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_ONDIR;
        let flags = how | MarkFlags::FAN_MARK_ONLYDIR;
        self.0.mark(flags, mask, CWD.as_fd(), Some(directory))
    }

    /// Looks at each directory that somebody wants to open, then lets them.
    fn answer(&self, mut look: impl FnMut(BorrowedFd<'_>)) {
        let group = &self.0;
        // To the last: who waits now is not told of again.
        while let Ok(events) = group.read_events() {
            for event in &events {
                let Some(directory) = event.fd() else {
                    continue;
                };
                look(directory);
                let answer = FanotifyResponse::new(directory, Response::FAN_ALLOW);
                if let Err(error) = group.write_response(answer) {
                    tracing::warn!(%error, "a directory may stay closed");
                }
            }
        }
    }
}
