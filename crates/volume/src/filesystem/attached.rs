//! Directories of a volume at places where all of the machine sees them.
//!
//! The volume is mounted in the room, which nobody else sees. What is put elsewhere is a clone of that mount
//! (`open_tree(2)`), moved into this process's own mount namespace. Programs of it get no rights by their mode, unless
//! root alone can get there, and devices in it do not open: it may be of a job that was less trusted than whoever looks
//! into it.
//!
//! A mount namespace that is made later has a copy of the mount, which would hold the volume when ours is gone. So it
//! is put on a mount that is shared: then the copies go with it (Linux `Documentation/filesystems/sharedsubtree.rst`).
//! Where nothing is shared, as in most containers, the place itself is bound onto itself for that.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use larder_local::users::Owners;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount_change,
    mount_remount, move_mount, open_tree,
};

use super::mounts::{unescape, unmount, unmount_below};
use super::owners;
use crate::error::VolumeError;

/// Whether programs of a directory get rights by their mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// They do. For a place where root alone can get to.
    Kept,
    /// They do not.
    Taken,
}

/// How a directory is seen where it is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Whether its programs get rights by their mode.
    pub rights: Rights,
    /// Whose its files are there, if not whose they are on the volume.
    pub owners: Option<Owners>,
}

impl View {
    /// Its files are whose they are on the volume.
    pub fn plain(rights: Rights) -> Self {
        let owners = None;
        Self { rights, owners }
    }
}

/// A clone of the mount at `mount`, of its directory `folder` alone. Call it in the room.
pub(crate) fn clone_of(mount: &Path, folder: &Path, view: &View) -> Result<OwnedFd, VolumeError> {
    let mut flags = MountFlags::BIND | MountFlags::NODEV | MountFlags::NOATIME;
    flags.set(MountFlags::NOSUID, view.rights == Rights::Taken);
    mount_remount(mount, flags, c"").map_err(VolumeError::io("restrict", mount))?;
    let path = mount.join(folder);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let tree = open_tree(CWD, &path, flags);
    let tree = tree.map_err(VolumeError::io("clone the mount of", &path))?;
    if let Some(owners) = &view.owners {
        owners::give(&tree, owners).map_err(|error| no_owners(&error))?;
    }
    Ok(tree)
}

fn no_owners(error: &io::Error) -> VolumeError {
    VolumeError::Missing {
        what: format!("this machine cannot give the files of a volume to a user ({error})"),
        cure: "it takes Linux 5.19 and user namespaces; root's own podman needs neither (--podman-user root)",
    }
}

/// Puts it on an open directory of this process's namespace.
pub(crate) fn put(tree: &OwnedFd, place: &File) -> io::Result<()> {
    if is_shared(place)? {
        return move_to(tree, place);
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let below = open_tree(place, "", flags)?;
    move_to(&below, place)?;
    let path = format!("/proc/self/fd/{}", below.as_raw_fd());
    mount_change(path, MountPropagationFlags::SHARED)?;
    move_to(tree, &below)
}

fn move_to(tree: &OwnedFd, place: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, "", place, "", flags)?)
}

/// Whether what is mounted there is mounted in the copies of this namespace too. `proc_pid_mountinfo(5)`: id, parent,
/// major:minor, root, mount point, options, optional fields, -, …
fn is_shared(place: &File) -> io::Result<bool> {
    let stat = statx(place, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let own = format!("{} ", stat.stx_mnt_id);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let line = mounts.lines().find(|line| line.starts_with(&own));
    let fields = line.into_iter().flat_map(|line| line.split(' ').skip(6));
    let mut optional = fields.take_while(|field| *field != "-");
    Ok(optional.any(|field| field.starts_with("shared:")))
}

/// How many mounts there are at a place of this process's namespace, one over the other.
pub fn mounts_at(place: &Path) -> io::Result<usize> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(points
        .filter(|point| Path::new(&unescape(point)) == place)
        .count())
}

/// Takes away what was mounted at a place where `before` mounts had been, with all that is mounted below. While
/// it is in use, tries again until `limit` is over.
pub fn take_away(place: &Path, before: usize, limit: Duration) -> Result<(), VolumeError> {
    while there_are_more(place, before)? {
        unmount_below(place, limit)?;
        unmount(place, limit)?;
    }
    Ok(())
}

/// The same for what may be in use: whoever uses it keeps what he has, and nobody else finds it.
pub fn tear_away(place: &Path, before: usize) -> Result<(), VolumeError> {
    while there_are_more(place, before)? {
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        let torn = rustix::mount::unmount(place, flags);
        torn.map_err(VolumeError::io("unmount", place))?;
    }
    Ok(())
}

fn there_are_more(place: &Path, before: usize) -> Result<bool, VolumeError> {
    let mounts = mounts_at(place).map_err(VolumeError::io("list the mounts at", place))?;
    Ok(mounts > before)
}
