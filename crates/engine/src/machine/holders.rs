//! Who keeps a volume busy: processes that have it mounted, or stand, run or read in it.
//!
//! A mount that leaked into another namespace holds a file system as well as an open file does, so
//! every process's mount table is searched. Containers hold the volume through an overlay, whose
//! device is its own; they show by the files that engines bind into them (`/etc/resolv.conf` and
//! others), which lie on the volume itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::process::{Identity, device_of, kill_all, others};

/// Processes, this one excepted, that hold the file system on the block device `device` (major,
/// minor). The owner's other threads do not count: a process is seen by its main thread.
pub fn holders(device: (u32, u32)) -> Vec<Identity> {
    others()
        .into_iter()
        .filter(|&pid| holds(pid, device))
        .filter_map(Identity::of)
        .collect()
}

/// Kills the holders, and those that they turn out to have hidden, until none is left or the
/// deadline has passed. Answers those that would not end.
pub fn end_holders(device: (u32, u32), deadline: Duration) -> Vec<Identity> {
    let start = std::time::Instant::now();
    loop {
        let found = holders(device);
        let left = deadline.saturating_sub(start.elapsed());
        if found.is_empty() || left.is_zero() {
            return found;
        }
        tracing::info!(count = found.len(), "ending processes that hold the volume");
        let stuck = kill_all(&found, left);
        if !stuck.is_empty() {
            return stuck;
        }
    }
}

fn holds(pid: i32, device: (u32, u32)) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let (major, minor) = device;
    let own = format!("{major}:{minor}");
    // proc_pid_mountinfo(5): id, parent, major:minor, …
    let mounts = fs::read(process.join("mountinfo")).unwrap_or_default();
    let mounted = String::from_utf8_lossy(&mounts)
        .lines()
        .any(|line| line.split(' ').nth(2) == Some(&own));
    mounted
        || ["cwd", "root", "exe"]
            .iter()
            .any(|link| device_of(&process.join(link)).is_ok_and(|on| on == device))
        || has_open_file(&process, device)
}

fn has_open_file(process: &Path, device: (u32, u32)) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files
        .filter_map(Result::ok)
        .any(|file| device_of(&file.path()).is_ok_and(|on| on == device))
}
