//! Ending the FUSE connection of a killed process.
//!
//! A process that is killed while one of its threads waits for the volume that it serves itself (a
//! trim, an unmount, or the kernel's own unmount while it takes the process down) cannot end: nobody
//! will answer that thread any more, and until it ends the FUSE device stays open. Aborting the
//! connection answers it. The kernel offers that in a file system (Linux
//! `Documentation/filesystems/fuse/fuse.rst`, "Control filesystem"), which is mounted here without a
//! place in the tree.

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::room;

/// How the kernel names our file systems in lists of mounts.
pub(crate) const FILE_SYSTEM: &str = "fuse.larder";

/// The connections of the volumes that a process serves: those that its room has mounted. Only
/// who serves one has such a thread; an engine has the mounts too.
pub fn of_process(pid: i32) -> BTreeSet<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let rooms = tasks.filter(|task| {
        let name = std::fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name.trim_end() == room::THREAD)
    });
    // A thread that has left its mounts has no such file.
    let mounts = rooms.filter_map(|task| std::fs::read(task.path().join("mountinfo")).ok());
    mounts
        .flat_map(|mounts| in_mounts(&String::from_utf8_lossy(&mounts)))
        .collect()
}

/// A FUSE file system's connection is the minor number of its device. `proc_pid_mountinfo(5)`: id, parent,
/// major:minor, … - type, source, options.
fn in_mounts(mounts: &str) -> Vec<u32> {
    let ours = mounts.lines().filter(|line| {
        let (_, about) = line.split_once(" - ").unwrap_or_default();
        about.split(' ').next() == Some(FILE_SYSTEM)
    });
    let devices = ours.filter_map(|line| line.split(' ').nth(2)?.split_once(':'));
    devices
        .filter_map(|(_, minor)| minor.parse().ok())
        .collect()
}

/// Aborts a connection; false if there is none of this number.
pub fn abort(connection: u32) -> io::Result<bool> {
    let control = rustix::mount::fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&control)?;
    let mounted = rustix::mount::fsmount(
        &control,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    let path = format!("{connection}/abort");
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(&mounted, path, flags, Mode::empty()) {
        Ok(file) => {
            std::fs::File::from(file).write_all(b"1")?;
            Ok(true)
        }
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_mounts_count() {
        let mounts = "36 35 98:0 /a /b rw,noatime master:1 - ext4 /dev/root rw\n\
            512 36 0:77 / /run/larder/ab/fuse rw,nosuid - fuse.larder larder rw,user_id=0\n\
            513 36 0:78 / /mnt rw - fuse.sshfs fuse.larder rw\n";
        assert_eq!(in_mounts(mounts), [77]);
    }
}
