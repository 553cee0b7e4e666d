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

/// A process that uses a directory which all of the machine sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Which it is.
    pub process: Identity,
    /// The name of its program.
    pub name: String,
    /// Whether it has files open there, and does not only stand in it.
    pub has_files: bool,
}

/// The processes that stand, run or read on the file system of the block device `device`, whatever they have mounted.
pub fn users(device: (u32, u32)) -> Vec<User> {
    let all = others().into_iter();
    all.filter_map(|pid| {
        let process = Path::new("/proc").join(pid.to_string());
        let has_files = is_on(&process.join("exe"), device)
            || has_open_file(&process, device)
            || has_mapped_file(&process, device);
        let stands = || {
            ["cwd", "root"]
                .iter()
                .any(|link| is_on(&process.join(link), device))
        };
        if !has_files && !stands() {
            return None;
        }
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        Some(User {
            process: Identity::of(pid)?,
            name: name.trim_end().to_owned(),
            has_files,
        })
    })
    .collect()
}

/// A process in our own mount namespace has what we have mounted, and holds it no more than we do.
fn holds(pid: i32, device: (u32, u32)) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let (major, minor) = device;
    let own = format!("{major}:{minor}");
    // proc_pid_mountinfo(5): id, parent, major:minor, …
    let mounts = fs::read(process.join("mountinfo")).unwrap_or_default();
    let mounted = String::from_utf8_lossy(&mounts)
        .lines()
        .any(|line| line.split(' ').nth(2) == Some(&own));
    (mounted && !has_our_mounts(&process))
        || ["cwd", "root", "exe"]
            .iter()
            .any(|link| is_on(&process.join(link), device))
        || has_open_file(&process, device)
}

fn has_our_mounts(process: &Path) -> bool {
    let [theirs, ours] =
        [process, Path::new("/proc/self")].map(|of| fs::read_link(of.join("ns/mnt")));
    matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs == ours)
}

fn is_on(path: &Path, device: (u32, u32)) -> bool {
    device_of(path).is_ok_and(|on| on == device)
}

/// `proc_pid_maps(5)`: addresses, permissions, offset, major:minor in hexadecimal, …
fn has_mapped_file(process: &Path, (major, minor): (u32, u32)) -> bool {
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    let device = format!("{major:02x}:{minor:02x}");
    let maps = String::from_utf8_lossy(&maps);
    maps.lines()
        .any(|line| line.split(' ').nth(3) == Some(&device))
}

fn has_open_file(process: &Path, device: (u32, u32)) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files
        .filter_map(Result::ok)
        .any(|file| is_on(&file.path(), device))
}
