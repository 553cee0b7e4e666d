//! The lock of a state directory. The background process holds it as long as it lives, also before and after
//! it listens. A command that clears up after a dead one holds it meanwhile.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::{Place, Result, SessionError};

/// How long to wait before another try.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock until the file is dropped; `None` if another process has it. The state directory must exist.
pub fn take(place: &Place) -> Result<Option<File>> {
    let path = place.lock();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .map_err(SessionError::path("lock", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(SessionError::path("lock", &path)(error.into())),
    }
}
