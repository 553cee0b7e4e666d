//! Keeping warm what dropping layers reads.
//!
//! A record of the build cache is dropped some jobs after it was last used. Where nobody has read its layer since, each
//! of its directories is by then a round trip to a store that is far, one after the other, and so are pages of the
//! databases that nobody has looked at for as long. So each job looks into all layers and databases, while they are
//! still among what the last job read: that takes no request, and they stay among it for the next one.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, statat};

use crate::layout::{containerd_root, data_root};
use crate::paths;
use crate::scrub::databases;

/// Layers that are looked into: more than the rules for the build cache leave of most projects.
const LAYERS_MAX: usize = 256;
/// Entries of a directory of a layer that are looked at: their inodes lie together.
const ENTRIES_MAX: usize = 16;
/// How long it may be waited for. Where it takes no request, 30 layers take a quarter of that.
const PATIENCE: Duration = Duration::from_millis(60);
/// As much as is read at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Chunks of a file that are read (4 MiB): with room to spare for the databases of some hundred layers.
const CHUNKS_MAX: usize = 32;

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

/// Looks at all of that on a volume, or at as much as there is time for: [`PATIENCE`], or until `is_over`, whichever is
/// later. What is not there, or is something else, is passed over: jobs may do as they like with their layers.
pub(super) fn keep(volume: &Path, is_over: &AtomicBool) {
    let until = Until {
        begun: Instant::now(),
        is_over,
    };
    let (data_root, containerd) = (data_root(volume), containerd_root(volume));
    let [of_docker, of_containerd] = LAYERS;
    for folder in [data_root.join(of_docker), containerd.join(of_containerd)] {
        let seen = look_into_layers(&folder, &until);
        tracing::debug!(?seen, folder = %folder.display(), "layers");
    }
    for (root, path, _) in databases(&data_root, &containerd) {
        if let Ok(Some(path)) = paths::file(root, Path::new(path))
            && let Ok(file) = open(CWD, &path, OFlags::NONBLOCK)
        {
            let bytes = read(&file, CHUNKS_MAX, &until);
            tracing::trace!(?bytes, path = %path.display(), "a database");
        }
    }
}

/// When to end.
struct Until<'a> {
    begun: Instant,
    is_over: &'a AtomicBool,
}

impl Until<'_> {
    fn is_now(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) && self.begun.elapsed() > PATIENCE
    }
}

/// How many were seen.
fn look_into_layers(folder: &Path, until: &Until<'_>) -> io::Result<usize> {
    let folder = open(CWD, folder, OFlags::DIRECTORY)?;
    let mut seen = 0;
    for entry in Dir::read_from(&folder)?.take(LAYERS_MAX) {
        if until.is_now() {
            break;
        }
        let entry = entry?;
        // The folder itself, and the one that it is in.
        if entry.file_name().to_bytes().starts_with(b".") {
            continue;
        }
        if let Ok(layer) = open(folder.as_fd(), entry.file_name(), OFlags::DIRECTORY) {
            look_into(&layer, until);
            seen += 1;
        }
    }
    Ok(seen)
}

fn look_into(layer: &OwnedFd, until: &Until<'_>) {
    for name in FILES {
        let file = open(layer.as_fd(), name, OFlags::NONBLOCK);
        let bytes = file.and_then(|file| read(&file, 1, until));
        tracing::trace!(?bytes, name, "a file of a layer");
    }
    for name in FOLDERS {
        let folder = open(layer.as_fd(), name, OFlags::DIRECTORY);
        let seen = folder.and_then(|folder| look_at_entries(&folder));
        tracing::trace!(?seen, name, "a directory of a layer");
    }
}

/// How many were seen.
fn look_at_entries(folder: &OwnedFd) -> rustix::io::Result<usize> {
    let entries = Dir::read_from(folder)?.take(ENTRIES_MAX);
    let seen = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).ok()
    });
    Ok(seen.count())
}

/// Reads a file; how many bytes.
fn read(file: &OwnedFd, chunks_max: usize, until: &Until<'_>) -> rustix::io::Result<usize> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    for _ in 0..chunks_max {
        match rustix::io::read(file, &mut chunk)? {
            0 => break,
            more => bytes += more,
        }
        if until.is_now() {
            break;
        }
    }
    Ok(bytes)
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
    use std::path::PathBuf;

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

    use super::*;

    const SNAPSHOTS: &str = "containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";

    /// What is read below a folder.
    struct Watch {
        root: PathBuf,
        events: OwnedFd,
        paths: Vec<(i32, String)>,
    }

    impl Watch {
        fn on(root: &Path, paths: &[&str]) -> Self {
            let events = inotify::init(CreateFlags::NONBLOCK).expect("a watch");
            let mut watch = Self {
                root: root.to_owned(),
                events,
                paths: Vec::new(),
            };
            for path in paths {
                watch.add(path);
            }
            watch
        }

        fn add(&mut self, path: &str) {
            let at = self.root.join(path);
            let at = CString::new(at.to_str().expect("text")).expect("a path");
            let number = inotify::add_watch(&self.events, &at, WatchFlags::ACCESS);
            self.paths.push((number.expect("watched"), path.to_owned()));
        }

        /// What was read since this was last asked.
        fn read(&self) -> Vec<String> {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(&self.events, &mut buffer);
            let mut read = Vec::new();
            while let Ok(event) = events.next() {
                // A folder tells of what is in it, too.
                if event.events().contains(ReadFlags::ACCESS) && event.file_name().is_none() {
                    let mut paths = self.paths.iter();
                    let path = paths.find(|(number, _)| *number == event.wd());
                    read.push(path.expect("a watched one").1.clone());
                }
            }
            read.sort();
            read.dedup();
            read
        }
    }

    fn filled() -> tempfile::TempDir {
        let volume = tempfile::tempdir().expect("a folder");
        let at = |path: &str| {
            let path = volume.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            path
        };
        for path in [
            "docker/overlay2/a/link",
            "docker/overlay2/a/lower",
            "docker/overlay2/a/committed",
            "docker/overlay2/a/diff/app/x",
            "docker/overlay2/a/work/x",
            "docker/buildkit/cache.db",
            "docker/another/diff/x",
            &format!("{SNAPSHOTS}/1/fs/usr/x"),
        ] {
            fs::write(at(path), "x").expect("written");
        }
        let another = volume.path().join("docker/another");
        symlink(&another, at("docker/overlay2/b")).expect("made");
        symlink(another, at(&format!("{SNAPSHOTS}/1/work"))).expect("made");
        // Whoever opens it waits for the other side.
        let pipe = at("docker/overlay2/c/link");
        rustix::fs::mkfifoat(CWD, pipe, Mode::RUSR).expect("made");
        volume
    }

    #[test]
    fn what_dropping_reads_is_read_and_nothing_else() {
        let volume = filled();
        let of_snapshot = format!("{SNAPSHOTS}/1/fs");
        let expected = [
            &*of_snapshot,
            "docker/buildkit/cache.db",
            "docker/overlay2/a/diff",
            "docker/overlay2/a/link",
            "docker/overlay2/a/lower",
            "docker/overlay2/a/work",
        ];
        let mut watch = Watch::on(volume.path(), &expected);
        for other in ["a/diff/app", "a/committed", "../another/diff", "../another"] {
            watch.add(&format!("docker/overlay2/{other}"));
        }
        keep(volume.path(), &AtomicBool::new(true));
        assert_eq!(watch.read(), expected);
    }

    #[test]
    fn nothing_is_read_once_the_engine_has_stopped_and_some_time_has_passed() {
        let volume = filled();
        let begun = Instant::now().checked_sub(2 * PATIENCE);
        for (is_over, expected) in [(true, 0), (false, 2)] {
            let until = Until {
                begun: begun.expect("a machine that is up"),
                is_over: &AtomicBool::new(is_over),
            };
            let layers = volume.path().join("docker/overlay2");
            let seen = look_into_layers(&layers, &until).expect("a folder");
            assert_eq!(seen, expected);
        }
    }
}
