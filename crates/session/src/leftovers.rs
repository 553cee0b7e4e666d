//! Clearing what a session left behind whose background process died.
//!
//! The record is written before each step that leaves something on the machine, so whatever the
//! moment of death, the next command knows what to look for. Everything here may be done twice.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use larder_engine::network::{self, HostNetwork};
use larder_engine::process::{self, Identity};
use larder_engine::takeover::Taken;
use larder_engine::{EngineError, Shape, clean_up, holders};
use larder_local::files;
use larder_volume::{attached, connection};
use serde::{Deserialize, Serialize};

use crate::lock::{self, One};
use crate::settings::Wanted;
use crate::{Place, Result, SessionError};

/// Time for processes to end after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Time for a session to end after its last word.
const ENDED_LIMIT: Duration = Duration::from_secs(2);

const UNBLOCK_PAUSE: Duration = Duration::from_millis(5);

/// A directory of a volume that is mounted where all of the machine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mounted {
    /// Where.
    pub place: PathBuf,
    /// How many mounts there were before.
    pub before: usize,
}

impl Mounted {
    /// Takes it away, also from under whoever uses it.
    pub(crate) fn tear_away(&self) {
        if let Err(error) = attached::tear_away(&self.place, self.before) {
            tracing::warn!(%error, "a directory stays mounted");
        }
    }
}

/// What a session has on the machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// How its engine stands beside the machine's own.
    pub shape: Option<Shape>,
    /// What was stopped for it.
    pub taken: Option<Taken>,
    /// The socket that was taken over.
    pub usual_socket: Option<PathBuf>,
    /// The host's network as it was, if no other engine was stopped for ours.
    pub network: Option<HostNetwork>,
    /// The volume's device.
    pub device: Option<(u32, u32)>,
    /// The volume's FUSE connection.
    pub connection: Option<u32>,
    /// The directories of the volume that all of the machine sees.
    #[serde(default)]
    pub mounted: Vec<Mounted>,
    /// The background process.
    pub owner: Option<Identity>,
    /// What the session is for.
    pub wanted: Option<Wanted>,
}

impl Record {
    /// The first one of a session, before it has done anything.
    pub(crate) fn begin(wanted: Wanted) -> Self {
        Self {
            owner: Identity::of(std::process::id().cast_signed()),
            wanted: Some(wanted),
            ..Self::default()
        }
    }

    /// Writes the record: whole or not at all.
    pub(crate) fn write(&self, place: &Place) -> Result<()> {
        let text = serde_json::to_vec(self).expect("a record has a JSON form");
        let path = place.record();
        files::write_private(&path, &text).map_err(SessionError::path("write", &path))
    }

    /// Gives the machine back what was taken from it, when the engine is gone.
    pub(crate) fn give_back(&self, place: &Place) -> Result<(), EngineError> {
        let _lock = lock::network();
        if self.shape == Some(Shape::Private) {
            network::tear_down(&place.id)?;
        }
        if let Some(network) = &self.network {
            network.take_back()?;
        }
        match (self.taken, &self.usual_socket) {
            (Some(taken), Some(socket)) => taken.give_back(socket),
            _ => Ok(()),
        }
    }

    fn read(place: &Place) -> Option<Self> {
        let path = place.record();
        // Processes are ended by what it says, so it is believed only if we wrote it.
        let file = match files::open_private(&path) {
            // It is not there, or a link.
            Err(error) if error.raw_os_error().is_some() => return None,
            opened => opened.inspect_err(|error| tracing::warn!(%error, ?path, "not our record")),
        };
        // One that cannot be read is treated as one that says nothing: the rest is found by name.
        let text = file.and_then(io::read_to_string).unwrap_or_default();
        Some(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// Whether a session that has this place, and may not listen yet or any more, is for something else.
pub fn is_of_other(place: &Place, wanted: &Wanted) -> bool {
    let of = Record::read(place).and_then(|record| record.wanted);
    of.is_some_and(|of| !of.agrees_with(wanted))
}

/// Whether a session that has this place, or died there, is for directories; if something is named, for one of that
/// job or at that path.
pub fn is_of_folders(place: &Place, named: Option<(&str, &Path)>) -> bool {
    let Some(wanted) = Record::read(place).and_then(|record| record.wanted) else {
        return false;
    };
    let folders = wanted.tenant.folders();
    !folders.is_empty()
        && named.is_none_or(|(job, path)| {
            wanted.job == job || folders.iter().any(|folder| folder == path)
        })
}

/// The program that the session of this place started last and that still runs.
pub(crate) fn program(place: &Place) -> Option<String> {
    process::newest_child(Record::read(place)?.owner?)
}

/// Ends a background process that was killed while it waited for its own disk. Until then it holds the
/// lock, and its control socket accepts connections that are never answered.
pub(crate) fn unblock(place: &Place) {
    if let Some(record) = Record::read(place)
        && let Some(owner) = record.owner.filter(|owner| owner.is_stuck())
    {
        abort(owner, record.connection);
    }
}

/// The same for every background process of this machine: one that hangs holds locks of the kernel, and
/// the mounts and loop devices of others wait for them.
pub(crate) fn unblock_others() {
    for process in process::stuck() {
        abort(process, None);
    }
}

/// The connection is on the record as soon as it is known. Before that, or without the record, the thread that
/// waits has it mounted. Once that thread has left its mounts, in the
/// kernel's own unmount, only the record knows.
fn abort(process: Identity, recorded: Option<u32>) {
    let mut connections = connection::of_process(process.pid);
    connections.extend(recorded);
    if connections.is_empty() {
        return;
    }
    for number in connections {
        if let Err(error) = connection::abort(number) {
            tracing::warn!(%error, "the FUSE connection stays");
        }
    }
    let started = Instant::now();
    while process.is_stuck() && started.elapsed() < KILL_LIMIT {
        std::thread::sleep(UNBLOCK_PAUSE);
    }
}

/// Asks a session that is ending to end at once, and to save nothing.
pub fn hurry(place: &Place) {
    let owner = Record::read(place).and_then(|record| record.owner);
    if let Some(owner) = owner {
        owner.terminate();
    }
}

/// Clears what a dead session left; says whether there was anything. Call it with the lock held.
pub fn clear(place: &Place) -> Result<bool> {
    let Some(record) = Record::read(place) else {
        return Ok(false);
    };
    // Gone since a boot, with the locks of the machine.
    place.create_run()?;
    let cleaned = clean_up::clean_up(&place.run(), record.owner, KILL_LIMIT)?;
    let mut stuck = cleaned.stuck;
    if record.wanted.as_ref().is_some_and(Wanted::is_of_podman) {
        stuck.extend(larder_podman::end_users(&place.run(), KILL_LIMIT));
    }
    // Found by name too: the session may have died before it could write the number down.
    let devices = larder_volume::devices_over(&place.volume().fuse);
    record.mounted.iter().rev().for_each(Mounted::tear_away);
    // Whoever looks into a directory is nobody's to end.
    if record.mounted.is_empty() {
        for device in record.device.into_iter().chain(devices) {
            stuck.extend(holders::end_holders(device, KILL_LIMIT));
        }
    }
    record.give_back(place)?;
    if let Some(process) = stuck.first() {
        return Err(SessionError::Stuck(process.pid));
    }
    for one in One::ALL {
        give_back_turn(one, place)?;
    }
    forget(place);
    remove_unfinished(place.state());
    Ok(true)
}

/// The machine's lock still names who died with it.
fn give_back_turn(one: One, place: &Place) -> Result<()> {
    let Some(mut lock) = lock::Machine::take(one)? else {
        return Ok(());
    };
    match lock.holder()? {
        Some(holder) if holder != place.state() => Ok(()),
        _ => lock.remove(),
    }
}

/// Clears what dead sessions beside that of `place` left, and removes the directories of those that ended.
pub fn sweep(place: &Place) {
    for beside in place.all_beside() {
        if let Err(error) = remove(&beside) {
            tracing::warn!(%error, "a session beside this one is not cleared");
        }
    }
}

/// The same when a session has just ended, there or beside it.
pub fn sweep_after(ended: &Place, place: &Place) {
    let started = Instant::now();
    sweep(place);
    // The session says its last word before it lets go of its lock.
    while ended.state() != place.state() && ended.exists() && started.elapsed() < ENDED_LIMIT {
        std::thread::sleep(lock::PAUSE);
        sweep(place);
    }
}

/// Unless a session runs there.
fn remove(place: &Place) -> Result<()> {
    unblock(place);
    if let Some(_lock) = lock::take(place)? {
        clear(place)?;
        remove_state(place).map_err(SessionError::path("remove", place.state()))?;
    }
    Ok(())
}

/// Removes the directory, for who has its lock. The lock goes when all else is gone: from then on another session may
/// have one of its own there, and the directory with it.
fn remove_state(place: &Place) -> io::Result<()> {
    for entry in fs::read_dir(place.state())? {
        let entry = entry?;
        if entry.path() == place.lock() {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(place.lock())?;
    match fs::remove_dir(place.state()) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed,
    }
}

/// Files that were being written when their writer was killed: see [`files::write_private`].
fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if files::is_unfinished(&entry.file_name()) {
            let removed = fs::remove_file(entry.path());
            tracing::debug!(?removed, "a file that was never finished");
        }
    }
}

/// Removes the session's files; the lock stays.
pub(crate) fn forget(place: &Place) {
    if let Err(error) = larder_volume::volume::remove_local_file(&place.volume().folder) {
        tracing::warn!(%error, "the volume's file stays");
    }
    for result in [
        fs::remove_dir_all(place.run()),
        fs::remove_file(place.record()),
    ] {
        if let Err(error) = result {
            tracing::debug!(%error, "nothing to remove");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use larder_local::own::OwnFolder;

    use super::*;

    /// A session that begins while a directory is removed has its own files, or finds none to be its own.
    #[test]
    fn nothing_of_a_session_that_begins_is_removed() {
        const ROUNDS: usize = 200;
        let folder = tempfile::tempdir().expect("a folder");
        let state = OwnFolder::new(folder.path().join("state"), None);
        let place = Place::of(&state).expect("ours");
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    // The directory may not be there now.
                    if let Ok(Some(_lock)) = lock::take(&place) {
                        remove_state(&place).expect("removed");
                    }
                }
            });
            let mut begun = 0;
            while begun < ROUNDS {
                let taken = place.make_state().and_then(|()| lock::take(&place));
                let Ok(Some(_lock)) = taken else {
                    continue;
                };
                for name in ["session.json", "volume"] {
                    fs::write(place.state().join(name), "").expect("its directory stays");
                }
                std::thread::yield_now();
                let there =
                    ["session.json", "volume"].map(|name| place.state().join(name).exists());
                begun += 1;
                if there != [true, true] {
                    ended.store(true, Ordering::Relaxed);
                    panic!("a file is gone in round {begun}");
                }
            }
            ended.store(true, Ordering::Relaxed);
        });
        // Who ends last leaves nothing, whatever was there.
        place.make_state().expect("made");
        let lock = lock::take(&place).expect("ours");
        remove_state(&place).expect("removed");
        drop(lock);
        place.make_state().expect("made");
        let lock = lock::take(&place).expect("ours");
        fs::create_dir_all(place.state().join("volume/disk")).expect("made");
        remove_state(&place).expect("removed");
        drop(lock);
        assert!(!place.exists());
    }
}
