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
//! | `volumes/*` | what jobs wrote, unless it is to be kept |
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

mod bolt;
mod history;
mod paths;

use std::path::{Path, PathBuf};

use larder_docker::ImageStore;

use self::paths::{names_in, remove};
use crate::error::Result;
use crate::layout::{containerd_root, data_root};

/// containerd's database, in its root (containerd `metadata/plugin`).
const CONTAINERD_DATABASE: &str = "io.containerd.metadata.v1.bolt/meta.db";

/// containerd's blobs, likewise.
const CONTAINERD_CONTENT: &str = "io.containerd.content.v1.content";

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
    },
    /// Not to be published, for this reason. Nothing was removed.
    Refused(String),
}

/// Scrubs the roots of a stopped engine on `volume`, in which nobody holds a mount or a file any
/// more (see [`end_holders`](crate::holders::end_holders)).
pub fn scrub(volume: &Path, store: ImageStore, options: ScrubOptions) -> Result<Scrubbed> {
    let data_root = data_root(volume);
    if is_in_swarm(&data_root)? {
        return Ok(Scrubbed::Refused(
            "the engine is part of a swarm, whose keys and state are not saved; run `docker swarm leave --force`"
                .to_owned(),
        ));
    }
    let containerd = containerd_root(volume);
    let mut removed = scrub_data_root(&data_root, options)?;
    // Which of the two holds the records' blobs depends on the image store.
    let contents = [
        data_root.join("buildkit/content/blobs/sha256"),
        containerd.join(CONTAINERD_CONTENT).join("blobs/sha256"),
    ];
    history::remove_records(&data_root, &contents, &mut removed)?;
    let cleared = match store {
        ImageStore::Overlay2 => remove(&containerd, Path::new(""), &mut Vec::new()),
        ImageStore::Containerd => bolt::zero_unused_pages(&containerd.join(CONTAINERD_DATABASE)),
    };
    let warning = cleared
        .err()
        .map(|error| format!("environments of removed containers may be saved: {error}"));
    Ok(Scrubbed::Fit { removed, warning })
}

fn scrub_data_root(data_root: &Path, options: ScrubOptions) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for path in ["network", "tmp", "swarm", "buildkit/executor"] {
        remove(data_root, Path::new(path), &mut removed)?;
    }
    for name in names_in(&data_root.join("containers"))? {
        remove(data_root, &Path::new("containers").join(name), &mut removed)?;
    }
    if !options.keep_volumes {
        // With the directories goes `metadata.db`, which dockerd makes anew.
        for name in names_in(&data_root.join("volumes"))? {
            // A device node that dockerd makes for quotas, not a volume.
            if name != "backingFsBlockDev" {
                remove(data_root, &Path::new("volumes").join(name), &mut removed)?;
            }
        }
    }
    Ok(removed)
}

/// dockerd makes the directory `swarm` at every start; a node's certificates and raft log are in
/// it only after `docker swarm init` or `join` (moby `daemon/cluster/cluster.go`).
fn is_in_swarm(data_root: &Path) -> Result<bool> {
    let names = names_in(&data_root.join("swarm"))?;
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
        ];
        let gone = [
            "containers/abc/config.v2.json",
            "network/files/local-kv.db",
            "tmp/x",
            "buildkit/executor/resolv.conf",
        ];
        let root = root_with(&[kept.as_slice(), gone.as_slice()].concat());
        let options = ScrubOptions { keep_volumes: true };
        let removed = scrub_data_root(root.path(), options).expect("scrubs");
        assert_eq!(removed.len(), gone.len(), "{removed:?}");
        assert!(gone.iter().all(|file| !root.path().join(file).exists()));
        assert!(kept.iter().all(|file| root.path().join(file).exists()));
        scrub_data_root(root.path(), ScrubOptions::default()).expect("scrubs again");
        assert!(!root.path().join("volumes/named").exists());
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
            matches!(scrubbed, Ok(Scrubbed::Fit { warning: Some(_), removed }) if removed.len() == 1)
        );
    }
}
