//! What dropping a layer begins with, read before it is dropped.
//!
//! A record of the build cache is dropped some jobs after it was last used. Where nobody has read its layer since, each
//! of its directories is by then a round trip to a store that is far, one after the other. So each job looks into
//! the directories of all layers, while they are still among what the last job read: that takes no request, and they stay
//! among it for the next one.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

use crate::layout::{containerd_root, data_root};

/// Layers that are looked into: more than the rules for the build cache leave of most projects.
const LAYERS_MAX: usize = 256;
/// As much as is read of a file: one block of the file system.
const FILE_MAX_BYTES: usize = 4096;

/// Where layers are: moby `daemon/graphdriver/overlay2`, `Driver.dir`; containerd
/// `plugins/snapshots/overlay/overlay.go`, `upperPath`.
const LAYERS: [&str; 2] = [
    "overlay2",
    "io.containerd.snapshotter.v1.overlayfs/snapshots",
];
/// The directories of a layer that go with it. The one where it is mounted is empty by then.
const FOLDERS: [&str; 3] = ["diff", "fs", "work"];
/// The files that `Driver.Remove` of overlay2 reads, or removes.
const FILES: [&str; 2] = ["link", "lower"];

/// Looks into all layers on a volume until that is over. What is not there, or is something else, is passed over: jobs
/// may do as they like with their layers.
pub(super) fn look_into(volume: &Path, is_over: &AtomicBool) {
    let [of_docker, of_containerd] = LAYERS;
    for folder in [
        data_root(volume).join(of_docker),
        containerd_root(volume).join(of_containerd),
    ] {
        let seen = look_into_all(&folder, is_over);
        tracing::debug!(?seen, folder = %folder.display(), "layers");
    }
}

/// How many were seen.
fn look_into_all(folder: &Path, is_over: &AtomicBool) -> io::Result<usize> {
    let folder = open(CWD, folder, OFlags::DIRECTORY)?;
    let mut seen = 0;
    for entry in Dir::read_from(&folder)?.take(LAYERS_MAX) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let entry = entry?;
        if let Ok(layer) = open(folder.as_fd(), entry.file_name(), OFlags::DIRECTORY) {
            look_into_one(&layer);
            seen += 1;
        }
    }
    Ok(seen)
}

fn look_into_one(layer: &OwnedFd) {
    let mut content = [0; FILE_MAX_BYTES];
    for name in FILES {
        let file = open(layer.as_fd(), name, OFlags::NONBLOCK);
        let read = file.map(|file| rustix::io::read(file, &mut content));
        tracing::trace!(?read, name, "a file of a layer");
    }
    for name in FOLDERS {
        let folder = open(layer.as_fd(), name, OFlags::DIRECTORY);
        // The first entry comes with as many as a block holds.
        let first = folder.and_then(Dir::read_from).map(|mut all| all.next());
        tracing::trace!(?first, name, "a directory of a layer");
    }
}

fn open(
    at: BorrowedFd<'_>,
    path: impl rustix::path::Arg,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

    use super::*;

    /// What was read, by its path, since these were watched.
    fn read(watch: &OwnedFd, watched: &[(i32, String)]) -> Vec<String> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(watch, &mut buffer);
        let mut read = Vec::new();
        while let Ok(event) = events.next() {
            let path = watched.iter().find(|(wd, _)| *wd == event.wd());
            // A folder tells of what is in it, too.
            if event.events().contains(ReadFlags::ACCESS) && event.file_name().is_none() {
                read.push(path.expect("a watched one").1.clone());
            }
        }
        read.sort();
        read.dedup();
        read
    }

    #[test]
    fn what_dropping_reads_of_a_layer_is_read_and_nothing_else() {
        let volume = tempfile::tempdir().expect("a folder");
        let outside = tempfile::tempdir().expect("a folder");
        let write = |path: &str| {
            let path = volume.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, "x").expect("written");
        };
        let snapshots = "containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";
        let docker = [
            "a/link",
            "a/lower",
            "a/diff/app/x",
            "a/work/x",
            "a/committed",
        ];
        for file in docker {
            write(&format!("docker/overlay2/{file}"));
        }
        write(&format!("{snapshots}/1/fs/usr/x"));
        fs::create_dir_all(outside.path().join("diff")).expect("made");
        symlink(outside.path(), volume.path().join("docker/overlay2/b")).expect("made");
        let link = volume.path().join(format!("{snapshots}/1/work"));
        symlink(outside.path().join("diff"), link).expect("made");
        // Whoever opens it waits for the other side.
        let pipe = volume.path().join("docker/overlay2/c/link");
        fs::create_dir_all(pipe.parent().expect("a folder")).expect("made");
        rustix::fs::mkfifoat(CWD, pipe, Mode::RUSR).expect("made");
        let watch = inotify::init(CreateFlags::NONBLOCK).expect("a watch");
        let mut watched = Vec::new();
        let mut watch_for = |root: &Path, path: &str| {
            let at = CString::new(root.join(path).to_str().expect("text")).expect("a path");
            let wd = inotify::add_watch(&watch, &at, WatchFlags::ACCESS).expect("watched");
            watched.push((wd, path.to_owned()));
        };
        for file in ["link", "lower", "diff", "diff/app", "work", "committed"] {
            watch_for(volume.path(), &format!("docker/overlay2/a/{file}"));
        }
        for folder in ["fs", "fs/usr"] {
            watch_for(volume.path(), &format!("{snapshots}/1/{folder}"));
        }
        watch_for(outside.path(), "diff");
        look_into(volume.path(), &AtomicBool::new(true));
        assert_eq!(read(&watch, &watched), [""; 0], "it is over already");
        look_into(volume.path(), &AtomicBool::new(false));
        let expected =
            ["diff", "link", "lower", "work"].map(|name| format!("docker/overlay2/a/{name}"));
        let of_containerd = format!("{snapshots}/1/fs");
        let expected: Vec<String> = [of_containerd].into_iter().chain(expected).collect();
        assert_eq!(read(&watch, &watched), expected);
    }
}
