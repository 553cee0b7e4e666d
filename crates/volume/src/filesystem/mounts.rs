//! Unmounting, while others may still use what is mounted.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::error::VolumeError;

/// Pause between two attempts to unmount what the kernel says is still in use.
const UNMOUNT_PAUSE: Duration = Duration::from_millis(5);

/// Unmounts what is mounted at `folder`; while it is in use, tries again until `limit` is over.
pub(crate) fn unmount(folder: &Path, limit: Duration) -> Result<(), VolumeError> {
    let started = Instant::now();
    loop {
        match rustix::mount::unmount(folder, UnmountFlags::NOFOLLOW) {
            Ok(()) => return Ok(()),
            Err(Errno::BUSY) if started.elapsed() < limit => std::thread::sleep(UNMOUNT_PAUSE),
            Err(error) => return Err(VolumeError::io("unmount", folder)(error)),
        }
    }
}

/// Unmounts everything below `folder` (not `folder` itself), the innermost first.
pub(crate) fn unmount_below(folder: &Path, limit: Duration) -> Result<(), VolumeError> {
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo")
        .map_err(VolumeError::io("read", "/proc/thread-self/mountinfo"))?;
    let targets = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape);
    let mut below: Vec<_> = targets
        .map(PathBuf::from)
        .filter(|target| target.starts_with(folder) && target != folder)
        .collect();
    below.reverse();
    below.iter().try_for_each(|target| unmount(target, limit))
}

/// `/proc/*/mountinfo` writes space, tab, newline and backslash in octal (proc(5)).
pub(super) fn unescape(path: &str) -> String {
    ["040", "011", "012", "134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(path.to_owned(), |path, (code, c)| {
            path.replace(&format!("\\{code}"), c)
        })
}
