//! The lock of a state folder. The background process holds it while it lives, also before it listens
//! and when it listens no more; so does whoever clears what a dead one left.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::place::Place;
use crate::exit::{Done, Failure};

/// How long to wait before another try.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock until the file is dropped; `None` if somebody else has it. The state folder is there.
pub fn take(place: &Place) -> Done<Option<File>> {
    let path = place.lock();
    let failed =
        |why: std::io::Error| Failure::failed(format!("cannot lock {}: {why}", path.display()));
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed(error.into())),
    }
}
