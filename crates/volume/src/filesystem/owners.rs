//! A volume's files as those of a user of this machine: a mount that gives every number of a user or group another one
//! (`mount_setattr(2)`, `MOUNT_ATTR_IDMAP`; Linux 5.12, and 5.19 below an overlay). On the volume they are whose
//! they are in any user's namespace, so what one user's job has left is another user's on another machine. Nobody gets
//! rights by a file whose number has no other here.

#![allow(unsafe_code)] // for two system calls that no library has

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use larder_local::users::{Owners, Span};
use rustix::thread::UnshareFlags;

/// Gives the files of a mount that is nowhere yet to these owners.
pub(super) fn give(tree: &OwnedFd, owners: &Owners) -> io::Result<()> {
    let holder = Holder::begin()?;
    holder.map("uid_map", &owners.users)?;
    holder.map("gid_map", &owners.groups)?;
    let namespace = holder.namespace()?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd().unsigned_abs().into(),
    };
    // SAFETY: both descriptors are open, the path is a C string, and the structure is as long as is said.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A process in a user namespace of its own, which waits for its input to end. A namespace is made by whoever is to be
/// in it, and not by a process with threads.
struct Holder(Child);

impl Holder {
    fn begin() -> io::Result<Self> {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(Stdio::null()).env_clear();
        let enter = || {
            // SAFETY: the flags do not separate the table of file descriptors.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }?;
            Ok(())
        };
        // SAFETY: between fork and exec it makes one system call, and allocates nothing.
        unsafe { command.pre_exec(enter) };
        // It has entered the namespace when this returns.
        command.spawn().map(Self)
    }

    fn map(&self, file: &str, spans: &[Span]) -> io::Result<()> {
        let lines = spans.iter().map(|span| {
            let Span {
                of_files,
                here,
                count,
            } = span;
            format!("{of_files} {here} {count}\n")
        });
        // The kernel takes a map whole, in one write.
        fs::write(self.at(file), lines.collect::<String>())
    }

    fn namespace(&self) -> io::Result<File> {
        File::open(self.at("ns/user"))
    }

    fn at(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.0.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends with its input.
        let _ = self.0.wait();
    }
}
