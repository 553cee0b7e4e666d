//! Looking at a volume before an engine starts on it: whatever a scrub removes must not be there, and the
//! directories that the engine works in must be directories.
//!
//! A volume comes from a store, to which more people may write than may be root here. dockerd starts
//! every container that has a restart policy, every plugin and every service that it finds in its root, and
//! follows a link wherever it leads. What Larder saves always passes; what does not was made by somebody
//! else. A few directories are listed for that, which the engine is about to read anyway.
//!
//! This does not make a forged volume harmless: images are in it, and what they hold the job will run.

use std::ffi::OsStr;
use std::path::Path;

use larder_docker::ImageStore;

use super::bolt;
use super::{CONTAINERD_DATABASE, EMPTIED, QUOTA_DEVICE, REMOVED, TASKS, VOLUMES, is_whole};
use crate::error::{EngineError, Result};
use crate::layout::{containerd_root, data_root};
use crate::paths::{entries, file, folder, names_in};

/// Directories of dockerd's root whose entries are directories and files. Those of single layers are many,
/// and links in them are the layers' own.
const PLAIN: [&str; 8] = [
    "",
    "buildkit",
    "image",
    "image/overlay2",
    "image/overlay2/distribution",
    "image/overlay2/imagedb",
    "image/overlay2/layerdb",
    VOLUMES,
];

/// Says why no engine may start on this volume, if so.
pub(crate) fn admit(volume: &Path, store: ImageStore) -> Result<()> {
    for root in ["docker", "containerd"] {
        folder(volume, Path::new(root))?;
    }
    must_be_plain(volume, crate::builders::FOLDER)?;
    admit_data_root(&data_root(volume))?;
    let containerd = containerd_root(volume);
    match store {
        // With this store its root is removed by every scrub.
        ImageStore::Overlay2 => must_be_empty(&containerd, "", |_| true),
        ImageStore::Containerd => admit_containerd(&containerd),
    }
}

fn admit_data_root(root: &Path) -> Result<()> {
    for path in PLAIN {
        must_be_plain_but(root, path, |name| name == QUOTA_DEVICE)?;
    }
    for layers in ["overlay2", "overlay2/l"] {
        folder(root, Path::new(layers))?;
    }
    for path in REMOVED.into_iter().chain([EMPTIED]) {
        // Earlier versions left the directories in which plugins are unpacked.
        must_be_empty(root, path, |name| path != "plugins" || is_id(name))?;
    }
    for name in names_in(root, Path::new(VOLUMES))? {
        let volume = Path::new(VOLUMES).join(&name);
        if name != QUOTA_DEVICE && !is_whole(root, &volume)? {
            return Err(EngineError::forged(
                &root.join(volume),
                "is a mount of something outside of it",
            ));
        }
    }
    Ok(())
}

/// dockerd takes directories of such names for plugins (moby `plugin/manager.go`, `validFullID`).
fn is_id(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit)
}

fn admit_containerd(root: &Path) -> Result<()> {
    must_be_plain(root, "")?;
    for name in names_in(root, Path::new(""))? {
        let path = Path::new(&name);
        if folder(root, path).is_ok() {
            must_be_plain(root, path)?;
        }
    }
    for tasks in TASKS {
        for namespace in names_in(root, Path::new(tasks))? {
            must_be_empty(root, Path::new(tasks).join(namespace), |_| true)?;
        }
    }
    match file(root, Path::new(CONTAINERD_DATABASE))? {
        Some(path) if bolt::has_containers(&path)? => {
            Err(EngineError::forged(&path, "names containers"))
        }
        _ => Ok(()),
    }
}

/// Says what is in a directory below `root` and is neither a directory nor a file, if there is something.
pub fn must_be_plain(root: &Path, relative: impl AsRef<Path>) -> Result<()> {
    must_be_plain_but(root, relative, |_| false)
}

fn must_be_plain_but(
    root: &Path,
    relative: impl AsRef<Path>,
    may_be: impl Fn(&OsStr) -> bool,
) -> Result<()> {
    let relative = relative.as_ref();
    let path = root.join(relative);
    let failed = || EngineError::io("cannot list", &path);
    for entry in entries(root, relative)?.into_iter().flatten() {
        let entry = entry.map_err(failed())?;
        let kind = entry.metadata().map_err(failed())?.file_type();
        if !kind.is_dir() && !kind.is_file() && !may_be(&entry.file_name()) {
            let what = "is neither a directory nor a file";
            return Err(EngineError::forged(&entry.path(), what));
        }
    }
    Ok(())
}

fn must_be_empty(
    root: &Path,
    relative: impl AsRef<Path>,
    counts: impl Fn(&OsStr) -> bool,
) -> Result<()> {
    let relative = relative.as_ref();
    for entry in entries(root, relative)?.into_iter().flatten() {
        let entry = entry.map_err(EngineError::io("cannot list", &root.join(relative)))?;
        if counts(&entry.file_name()) {
            return Err(EngineError::forged(&entry.path(), "is there"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A volume as a scrub leaves it, and `path` on it, which ends in a slash if it is a directory.
    fn volume_with(path: &str) -> tempfile::TempDir {
        let volume = tempfile::tempdir().expect("a directory");
        for path in [
            "docker/engine-id",
            "docker/containers/",
            "docker/image/overlay2/repositories.json",
            "docker/image/overlay2/layerdb/sha256/x/cache-id",
            "docker/overlay2/l/",
            "docker/buildkit/cache.db",
            "docker/plugins/tmp/",
            "docker/runtimes/",
            "docker/volumes/metadata.db",
            "docker/volumes/data/_data/file",
            path,
        ] {
            let full = volume.path().join(path);
            fs::create_dir_all(full.parent().expect("below")).expect("made");
            if path.ends_with('/') {
                fs::create_dir_all(full).expect("made");
            } else {
                fs::write(full, "x").expect("written");
            }
        }
        volume
    }

    fn refusal(volume: &tempfile::TempDir, store: ImageStore) -> Option<String> {
        let refused = admit(volume.path(), store).err()?;
        assert!(matches!(refused, EngineError::Forged { .. }), "{refused}");
        Some(refused.to_string())
    }

    #[test]
    fn what_a_scrub_leaves_is_admitted() {
        for store in [ImageStore::Overlay2, ImageStore::Containerd] {
            assert_eq!(refusal(&volume_with("docker/overlay2/l/"), store), None);
            let empty = tempfile::tempdir().expect("a directory");
            assert_eq!(refusal(&empty, store), None);
        }
        let volume = volume_with("containerd/io.containerd.runtime.v2.task/moby/");
        symlink("../x/diff", volume.path().join("docker/overlay2/l/AB")).expect("linked");
        assert_eq!(refusal(&volume, ImageStore::Containerd), None);
    }

    #[test]
    fn what_would_run_or_mount_by_itself_is_refused() {
        let plugin = format!("docker/plugins/{}/config.json", "a1".repeat(32));
        for path in [
            "docker/containers/abc/hostconfig.json",
            "docker/network/files/local-kv.db",
            "docker/swarm/docker-state.json",
            "docker/buildkit/executor/x/config.json",
            "docker/volumes/data/opts.json",
            "containerd/io.containerd.runtime.v2.task/moby/abc/",
            &plugin,
        ] {
            let said = refusal(&volume_with(path), ImageStore::Containerd).expect(path);
            assert!(said.contains("may be forged"), "{said}");
        }
        let database = volume_with("containerd/io.containerd.metadata.v1.bolt/meta.db");
        assert!(refusal(&database, ImageStore::Overlay2).is_some());
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_refused() {
        let outside = tempfile::tempdir().expect("a directory");
        for path in [
            "docker",
            "docker/volumes",
            "docker/volumes/data",
            "docker/volumes/data/_data",
            "docker/overlay2",
            "docker/overlay2/l",
            "docker/tmp",
            "docker/image/overlay2/layerdb/sha256",
            "docker/image/overlay2/repositories.json",
            "docker/buildkit/content",
            "containerd",
            "containerd/backingFsBlockDev",
            "containerd/io.containerd.snapshotter.v1.overlayfs/snapshots",
        ] {
            let volume = volume_with("docker/overlay2/l/");
            let full = volume.path().join(path);
            fs::create_dir_all(full.parent().expect("below")).expect("made");
            // Whatever was there before.
            let _removed = fs::remove_dir_all(&full).or_else(|_| fs::remove_file(&full));
            symlink(outside.path(), &full).expect("linked");
            assert!(refusal(&volume, ImageStore::Containerd).is_some(), "{path}");
        }
    }
}
