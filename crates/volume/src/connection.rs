//! Ending the FUSE connection of a killed process.
//!
//! A process that is killed while one of its threads waits for the volume that it serves itself (a
//! trim, an unmount, or the kernel's own unmount while it takes the process down) cannot end: nobody
//! will answer that thread any more, and until it ends the FUSE device stays open. Aborting the
//! connection answers it. The kernel offers that in a file system (Linux
//! `Documentation/filesystems/fuse/fuse.rst`, "Control filesystem"), which is mounted here without a
//! place in the tree.

use std::io::{self, Write as _};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

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
