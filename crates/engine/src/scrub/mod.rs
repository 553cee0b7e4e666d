//! Removing from a stopped engine's root what belongs to this machine or to this job alone.
//!
//! What is published is read by other machines, and by people who may read the cache but not the
//! job: environments of containers, build arguments, addresses. It also makes the next start
//! faster: with `network/` gone dockerd does not first undo and redo its old bridge, rule by rule.
//!
//! | path | holds |
//! |---|---|
//! | `containers/*` | every container's environment and log; restart policies |
//! | `network/` | networks and endpoints (moby `daemon/libnetwork/datastore`) |
//! | `tmp/` | downloads and uploads cut short |
//! | `buildkit/executor/` | the host's `resolv.conf` and `hosts`, run state |
//! | `buildkit/history*.db` | build records: arguments, logs (and blobs that they name, see `history.rs`) |
//! | `plugins/` | programs that dockerd starts with itself |
//! | `volumes/*` | what jobs wrote, unless it is to be kept; volumes with options always: their content lies elsewhere. Those of builders are caches (see `builders.rs`) |
//!
//! What is removed here must not come back from a snapshot that somebody else made: `admit.rs` looks.
//!
//! `engine-id` stays, though copies then share it: it is the name of BuildKit's worker (moby
//! `builder/builder-next/controller.go`), and cache records of a worker of another name never hit.
//!
//! containerd keeps the specification of every container, with its environment, in a bolt
//! database, and bolt leaves what was deleted in free pages. With overlay2 images nothing else is in
//! containerd's root, and it goes; with the containerd store the free
//! pages are overwritten.
//!
//! Images keep the arguments that their own instructions used in their history: that is part of the
//! image, and a job that pushes it publishes the same.

mod admit;
mod bolt;
mod builders;
mod builds;
mod compact;
mod history;

use std::path::{Path, PathBuf};

use larder_docker::ImageStore;
use larder_model::course::Build;

pub(crate) use self::admit::admit;
pub use self::admit::must_be_plain;
pub use self::builders::scrub_state;
use self::compact::{Holds, compact};
use crate::builders::is_state_volume;
use crate::error::{EngineError, Result};
use crate::layout::{containerd_root, data_root};
use crate::paths::{bytes_in, file, folder, names_in, remove};

/// containerd's database, in its root (containerd `metadata/plugin`).
const CONTAINERD_DATABASE: &str = "io.containerd.metadata.v1.bolt/meta.db";

/// containerd's blobs, likewise.
const CONTAINERD_BLOBS: &str = "io.containerd.content.v1.content/blobs/sha256";

/// What to keep all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Named volumes: databases and the like that a job wants to find again.
    pub keep_volumes: bool,
}

/// What a scrub came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scrubbed {
    /// Fit to be published.
    Fit {
        /// Paths of dockerd's root that were removed.
        removed: Vec<PathBuf>,
        /// What could not be cleared and is published with the rest. It is no reason not to
        /// publish: a format that we do not understand would then end all saving, for good.
        warning: Option<String>,
        /// The builds that had been recorded.
        builds: Vec<Build>,
    },
    /// Not to be published, for this reason. Nothing was removed.
    Refused(String),
}

/// Scrubs the roots of a stopped engine on `volume`, in which nobody holds a mount or a file any
/// more (see [`end_holders`](crate::holders::end_holders)).
pub fn scrub(volume: &Path, store: ImageStore, options: ScrubOptions) -> Result<Scrubbed> {
    for root in ["docker", "containerd"] {
        folder(volume, Path::new(root))?;
    }
    let data_root = data_root(volume);
    if is_in_swarm(&data_root)? {
        return Ok(Scrubbed::Refused(
            "the engine is part of a swarm, whose keys and state are not saved; run `docker swarm leave --force`"
                .to_owned(),
        ));
    }
    let containerd = containerd_root(volume);
    // Which of the two holds the records' blobs depends on the image store.
    let contents = [
        (&*data_root, Path::new("buildkit/content/blobs/sha256")),
        (&*containerd, Path::new(CONTAINERD_BLOBS)),
    ];
    let builds = builds::recorded(&data_root, Path::new(BUILDKIT), &contents);
    let mut removed = scrub_data_root(&data_root, options)?;
    history::remove_records(&data_root, Path::new(BUILDKIT), &contents, &mut removed)?;
    let cleared = match store {
        ImageStore::Overlay2 => remove(volume, Path::new("containerd"), &mut Vec::new()),
        ImageStore::Containerd => scrub_containerd(&containerd),
    };
    for (root, database, holds) in databases(&data_root, &containerd) {
        if let Some(path) = file(root, Path::new(database))?
            && let Err(error) = compact(&path, holds)
        {
            // It stays as it is.
            tracing::warn!(%error, "a database was not written anew");
        }
    }
    let warning = match cleared {
        Ok(()) => None,
        Err(error @ EngineError::Forged { .. }) => return Err(error),
        Err(error) => Some(format!(
            "environments of removed containers may be saved: {error}"
        )),
    };
    Ok(Scrubbed::Fit {
        removed,
        warning,
        builds,
    })
}

/// A database: its root, its path there, and what it holds.
pub(crate) type Database<'a> = (&'a Path, &'static str, Holds);

/// The databases that grow with the jobs: BuildKit's, and those of the containerd store.
pub(crate) fn databases<'a>(data_root: &'a Path, containerd: &'a Path) -> [Database<'a>; 7] {
    [
        (data_root, "buildkit/cache.db", Holds::Other),
        (data_root, "buildkit/containerdmeta.db", Holds::Namespaces),
        (data_root, "buildkit/metadata_v2.db", Holds::Other),
        (data_root, "buildkit/snapshots.db", Holds::Other),
        (
            data_root,
            "buildkit/containerd-overlayfs/metadata_v2.db",
            Holds::Other,
        ),
        (containerd, CONTAINERD_DATABASE, Holds::Namespaces),
        (
            containerd,
            "io.containerd.snapshotter.v1.overlayfs/metadata.db",
            Holds::Other,
        ),
    ]
}

/// Directories of dockerd's root that go. dockerd makes them anew.
const REMOVED: [&str; 5] = ["network", "tmp", "swarm", "plugins", "buildkit/executor"];

/// Where the engine's own `BuildKit` works.
const BUILDKIT: &str = "buildkit";

/// The one that stays, empty.
const EMPTIED: &str = "containers";

const VOLUMES: &str = "volumes";

/// A device node that dockerd makes for quotas among the volumes.
const QUOTA_DEVICE: &str = "backingFsBlockDev";

fn scrub_data_root(data_root: &Path, options: ScrubOptions) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for path in REMOVED {
        remove(data_root, Path::new(path), &mut removed)?;
    }
    for name in names_in(data_root, Path::new(EMPTIED))? {
        remove(data_root, &Path::new(EMPTIED).join(name), &mut removed)?;
    }
    for name in names_in(data_root, Path::new(VOLUMES))? {
        let volume = Path::new(VOLUMES).join(&name);
        // With the directories goes `metadata.db`, which dockerd makes anew.
        if name != QUOTA_DEVICE && !keeps(data_root, &volume, options)? {
            remove(data_root, &volume, &mut removed)?;
        }
    }
    Ok(removed)
}

/// What the named volumes take that a scrub will remove.
pub(crate) fn passing_bytes(volume: &Path, options: ScrubOptions) -> Result<u64> {
    let data_root = data_root(volume);
    let mut bytes = 0;
    for name in names_in(&data_root, Path::new(VOLUMES))? {
        let volume = Path::new(VOLUMES).join(&name);
        if name != QUOTA_DEVICE && !keeps(&data_root, &volume, options)? {
            bytes += bytes_in(&data_root.join(volume))?;
        }
    }
    Ok(bytes)
}

/// Whether a named volume is saved.
fn keeps(data_root: &Path, volume: &Path, options: ScrubOptions) -> Result<bool> {
    let is_wanted = options.keep_volumes || volume.file_name().is_some_and(is_state_volume);
    Ok(is_wanted && is_whole(data_root, volume)?)
}

/// Whether a named volume holds its content itself. One with options (moby `volume/local/local.go`) is a
/// mount of something else: a directory of this machine, a share of the network.
fn is_whole(data_root: &Path, volume: &Path) -> Result<bool> {
    let path = data_root.join(volume);
    let meta = path.symlink_metadata();
    let meta = meta.map_err(EngineError::io("cannot look at", &path))?;
    let data = folder(data_root, &volume.join("_data"));
    let is_plain = meta.is_dir() && data.is_ok() && !path.join("opts.json").exists();
    Ok(is_plain || meta.is_file())
}

/// Directories of containerd's root for what runs: `<directory>/<namespace>/<container>`.
const TASKS: [&str; 2] = [
    "io.containerd.runtime.v2.task",
    "io.containerd.runtime.v1.linux",
];

fn scrub_containerd(containerd: &Path) -> Result<()> {
    for path in TASKS {
        remove(containerd, Path::new(path), &mut Vec::new())?;
    }
    match file(containerd, Path::new(CONTAINERD_DATABASE))? {
        None => Ok(()),
        Some(path) => bolt::zero_unused_pages(&path),
    }
}

/// dockerd makes the directory `swarm` at every start; a node's certificates and raft log are in
/// it only after `docker swarm init` or `join` (moby `daemon/cluster/cluster.go`).
fn is_in_swarm(data_root: &Path) -> Result<bool> {
    let names = names_in(data_root, Path::new("swarm"))?;
    let state = ["docker-state.json", "certificates", "raft"];
    Ok(names.iter().any(|name| state.iter().any(|it| name == it)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn root_with(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            fs::write(path, "x").expect("written");
        }
        root
    }

    #[test]
    fn secrets_go_and_images_stay() {
        let kept = [
            "engine-id",
            "image/overlay2/repositories.json",
            "overlay2/l/x",
            "buildkit/cache.db",
            "volumes/named/_data/f",
            "volumes/metadata.db",
        ];
        let gone = [
            "containers/abc/config.v2.json",
            "network/files/local-kv.db",
            "tmp/x",
            "buildkit/executor/resolv.conf",
            "plugins/tmp/x",
            "volumes/bound/opts.json",
        ];
        let root = root_with(&[kept.as_slice(), gone.as_slice()].concat());
        let options = ScrubOptions { keep_volumes: true };
        let removed = scrub_data_root(root.path(), options).expect("scrubs");
        assert_eq!(removed.len(), gone.len(), "{removed:?}");
        assert!(gone.iter().all(|file| !root.path().join(file).exists()));
        assert!(kept.iter().all(|file| root.path().join(file).exists()));
        let volume = root_with(&["docker/volumes/named/_data/f"]);
        let passing = |options| passing_bytes(volume.path(), options).expect("counted");
        assert!(passing(options) == 0 && passing(ScrubOptions::default()) > 0);
        scrub_data_root(root.path(), ScrubOptions::default()).expect("scrubs again");
        assert!(!root.path().join("volumes/named").exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        use std::os::unix::fs::symlink;
        let (outside, options) = (root_with(&["kept"]), ScrubOptions::default());
        for link in [
            "docker",
            "docker/volumes",
            "docker/containers",
            "docker/buildkit",
            "docker/buildkit/content",
            "containerd",
            "containerd/io.containerd.metadata.v1.bolt",
            "containerd/io.containerd.metadata.v1.bolt/meta.db",
        ] {
            let volume = root_with(&["docker/image/x", "containerd/x"]);
            let path = volume.path().join(link);
            let _there = fs::remove_dir_all(&path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            let is_file = link.ends_with("meta.db");
            let target = outside.path().join(if is_file { "kept" } else { "" });
            symlink(target, &path).expect("linked");
            let scrubbed = scrub(volume.path(), ImageStore::Containerd, options);
            let stopped = matches!(scrubbed, Err(EngineError::Forged { .. }));
            assert!(stopped, "{link}: {scrubbed:?}");
            let kept = fs::read(outside.path().join("kept")).expect("it is still there");
            assert_eq!(kept, b"x", "{link}");
        }
        let volume = root_with(&["docker/volumes/x/_data/f"]);
        symlink(outside.path(), volume.path().join("docker/network")).expect("linked");
        symlink(outside.path(), volume.path().join("docker/volumes/y")).expect("linked");
        let options = ScrubOptions { keep_volumes: true };
        scrub(volume.path(), ImageStore::Containerd, options).expect("links themselves go");
        assert!(outside.path().join("kept").exists());
        let left = fs::read_dir(volume.path().join("docker/volumes")).expect("listed");
        assert_eq!(left.count(), 1);
    }

    #[test]
    fn a_swarm_is_refused_and_left_alone() {
        let volume = root_with(&["docker/swarm/docker-state.json", "docker/tmp/x"]);
        let scrubbed = scrub(volume.path(), ImageStore::Overlay2, ScrubOptions::default());
        assert!(matches!(scrubbed, Ok(Scrubbed::Refused(why)) if why.contains("swarm")));
        assert!(volume.path().join("docker/tmp/x").exists());
    }

    #[test]
    fn a_database_that_is_not_understood_is_a_warning() {
        let volume = root_with(&[
            "containerd/io.containerd.metadata.v1.bolt/meta.db",
            "docker/tmp/x",
        ]);
        let scrubbed = scrub(
            volume.path(),
            ImageStore::Containerd,
            ScrubOptions::default(),
        );
        assert!(
            matches!(scrubbed, Ok(Scrubbed::Fit { warning: Some(_), removed, .. }) if removed.len() == 1)
        );
    }
}
