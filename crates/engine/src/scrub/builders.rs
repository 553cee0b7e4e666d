//! The states of builders: which are kept, the crate `buildkit` says. Of those that a session changed goes what goes
//! of the engine's own `BuildKit`.
//!
//! A state is the root of a `buildkitd` (`cmd/buildkitd/main.go`, `worker/runc/runc.go`):
//!
//! | path | holds |
//! |---|---|
//! | `cache.db` | what a step's result depends on |
//! | `history.db` | build records, removed with the blobs that only they name |
//! | `runc-<snapshotter>/{containerdmeta,metadata_v2}.db`, `content`, `snapshots` | results |
//! | `runc-<snapshotter>/executor` | the host's `resolv.conf` and `hosts`, run state: removed |
//!
//! The builder's configuration and certificates lie elsewhere.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use larder_model::course::Build;

use super::bolt::Tree;
use super::builds;
use super::compact::{Holds, compact};
use super::history;
use crate::error::Result;
use crate::paths::{file, folder, names_in, remove};

const EXECUTOR: &str = "executor";
const BLOBS: &str = "content/blobs/sha256";
/// containerd's metadata in `BuildKit`'s form (`worker/runc/runc.go`).
const METADATA: &str = "containerdmeta.db";

/// Scrubs a state that nobody uses any more: the builds that were recorded, and a database that is none. Nothing
/// is to be kept of a state that has one.
pub fn scrub_state(state: &Path) -> Result<(Vec<Build>, Option<PathBuf>)> {
    let mut folders = vec![PathBuf::new()];
    for name in names_in(state, Path::new(""))? {
        if folder(state, Path::new(&name)).is_ok_and(|found| found.is_some()) {
            folders.push(PathBuf::from(name));
        }
    }
    let contents = folders.iter().map(|place| place.join(BLOBS));
    let contents: Vec<PathBuf> = contents.collect();
    let contents: Vec<(&Path, &Path)> = contents.iter().map(|at| (state, &**at)).collect();
    let builds = builds::recorded(state, Path::new(""), &contents);
    for place in &folders {
        for name in names_in(state, place)? {
            let path = place.join(&name);
            if path.extension() == Some(OsStr::new("db"))
                && let Some(database) = file(state, &path)?
                && Tree::open(&database, 0)?.is_none()
            {
                return Ok((builds, Some(path)));
            }
        }
    }
    let mut removed = Vec::new();
    history::remove_records(state, Path::new(""), &contents, &mut removed)?;
    for place in &folders {
        remove(state, &place.join(EXECUTOR), &mut removed)?;
        if let Some(path) = file(state, &place.join(METADATA))?
            && let Err(error) = compact(&path, Holds::Namespaces)
        {
            // It stays as it is.
            tracing::warn!(%error, "a builder's database was not written anew");
        }
    }
    Ok((builds, None))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn records_and_run_state_go_and_results_stay() {
        let state = tempfile::tempdir().expect("a directory");
        let digest = "a".repeat(64);
        let record = format!("runc-overlayfs/content/blobs/sha256/{digest}");
        let database = format!("sha256:{digest} ");
        for (path, text) in [
            ("runc-overlayfs/executor/resolv.conf", "nameserver"),
            ("runc-overlayfs/snapshots/snapshots/1/fs/x", "x"),
            ("runc-overlayfs/workerid", "id"),
            ("buildkitd.lock", ""),
            ("history.db", &database),
            (&record, "a build's log"),
        ] {
            let path = state.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, text).expect("written");
        }
        // A history that is no database is found out first.
        let (_, unsound) = scrub_state(state.path()).expect("looked");
        assert_eq!(unsound.as_deref(), Some(Path::new("history.db")));
        let sound = [&crate::scrub::bolt::tests::empty(), database.as_bytes()].concat();
        fs::write(state.path().join("history.db"), sound).expect("written");
        let scrubbed = scrub_state(state.path()).expect("scrubbed");
        assert_eq!(scrubbed, (Vec::new(), None));
        for gone in ["history.db", "runc-overlayfs/executor", &record] {
            assert!(!state.path().join(gone).exists(), "{gone}");
        }
        for kept in [
            "runc-overlayfs/workerid",
            "runc-overlayfs/snapshots/snapshots/1/fs/x",
        ] {
            assert!(state.path().join(kept).exists(), "{kept}");
        }
    }
}
