//! Locks that end with their holder: that of a state directory, and those of the machine.
//!
//! The background process holds its state directory's as long as it lives, also before and after it listens.
//! A command that clears up after a dead one holds it meanwhile.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::place::RUN;
use crate::{Place, Result, SessionError};

/// How long to wait before another try.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Whoever changes the host's network is done in a moment, or waits for a program that has a limit.
const NETWORK_LIMIT: Duration = Duration::from_secs(60);

/// Takes the lock until the file is dropped; `None` if another process has it, or has removed the state
/// directory after a session that was beside another.
pub fn take(place: &Place) -> Result<Option<File>> {
    match take_file(&place.lock()) {
        Err(_) if !place.exists() => Ok(None),
        taken => taken,
    }
}

/// What there is one of on a machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum One {
    /// The place of the machine's engine: two engines in one network namespace write the same firewall chains, and
    /// each takes the other's for the machine's.
    Engine,
    /// The places of podman's storage and of buildah's cache mounts.
    Podman,
}

impl One {
    pub(crate) const ALL: [Self; 2] = [Self::Engine, Self::Podman];

    fn path(self) -> PathBuf {
        of_machine(match self {
            Self::Engine => "machine",
            Self::Podman => "podman",
        })
    }
}

/// The right to stand in such a place. The file names the state directory of who has it, or died with it.
pub(crate) struct Machine(File, One);

impl Machine {
    /// `None` if another Larder has it.
    pub(crate) fn take(one: One) -> Result<Option<Self>> {
        Ok(take_file(&one.path())?.map(|file| Self(file, one)))
    }

    /// The state directory that it names.
    pub(crate) fn holder(&mut self) -> Result<Option<PathBuf>> {
        let mut name = Vec::new();
        let read = self.0.rewind().and_then(|()| self.0.read_to_end(&mut name));
        read.map_err(SessionError::io("read the machine's lock"))?;
        Ok((!name.is_empty()).then(|| OsString::from_vec(name).into()))
    }

    pub(crate) fn name(&mut self, state: &Path) -> Result<()> {
        let written = self.0.set_len(0).and_then(|()| self.0.rewind());
        let name = state.as_os_str().as_bytes();
        let written = written.and_then(|()| self.0.write_all(name));
        written.map_err(SessionError::io("write the machine's lock"))
    }

    /// Gives it back. Who waits for it notices that the file is gone, and makes a new one.
    pub(crate) fn remove(self) -> Result<()> {
        let path = self.1.path();
        let removed = fs::remove_file(&path).map_err(SessionError::path("remove", &path));
        drop(self.0);
        removed
    }
}

/// Whether that lock names somebody. Until it does, who has it is only looking.
pub(crate) fn machine_is_named(one: One) -> bool {
    fs::metadata(one.path()).is_ok_and(|file| file.len() > 0)
}

/// The lock of the host's network.
pub(crate) struct Network {
    _file: File,
}

impl Drop for Network {
    fn drop(&mut self) {
        // The directory goes when the machine is started again, and so may this.
        let _ = fs::remove_file(of_machine("network"));
    }
}

/// Held while the host's network is looked at and changed: addresses and packet forwarding are chosen by
/// what is there. `None` if it cannot be had; then it is done without.
pub(crate) fn network() -> Option<Network> {
    let path = of_machine("network");
    let started = Instant::now();
    while started.elapsed() < NETWORK_LIMIT {
        match take_file(&path) {
            Ok(None) => std::thread::sleep(PAUSE),
            taken => return taken.ok().flatten().map(|file| Network { _file: file }),
        }
    }
    tracing::warn!("the host's network is changed beside another Larder");
    None
}

fn of_machine(name: &str) -> PathBuf {
    Path::new(RUN).join(name).with_extension("lock")
}

fn take_file(path: &Path) -> Result<Option<File>> {
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(SessionError::path("lock", path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Its directory may have been removed between these two, and the lock with it.
            Ok(()) if is_at(&file, path) => return Ok(Some(file)),
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(SessionError::path("lock", path)(error.into())),
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (held, there) = (file.metadata(), path.metadata());
    held.is_ok_and(|held| there.is_ok_and(|there| held.ino() == there.ino()))
}
