//! Starting, awaiting and stopping a `buildkitd` of ours.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_engine::paths::folder;
use larder_engine::scrub::must_be_plain;
use larder_engine::{Daemon, Exit, TakenOver, bound_to_us, own_folders};
use larder_local::files;
use tokio::net::UnixStream;

use crate::config::{Reach, Site, buildkitd_toml, certificates, of_machine};
use crate::containers::{Seen, make_place, seen};
use crate::error::{EngineError, Result};
use crate::program::BuilderProgram;

/// How often a daemon that is to answer is asked.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// Where nobody else may use the socket.
const ROOTS_GROUP: &str = "0";
/// Directories of the state in which there is nothing but directories and files, of whatever snapshotter. What is in
/// the snapshots is the layers' own.
const PLAIN: [&str; 4] = ["", "content", "content/blobs", "snapshots"];

/// What a `buildkitd` is started with.
#[derive(Clone, Debug)]
pub struct BuildkitdConfig {
    /// The program, from [`probe`](crate::probe).
    pub program: BuilderProgram,
    /// The mounted volume.
    pub volume: PathBuf,
    /// Socket, configuration, log: on tmpfs, the session's own.
    pub run_dir: PathBuf,
    /// Whether no engine is beside it, which has made the room fit for containers.
    pub is_alone: bool,
    /// What it may keep.
    pub keep_bytes: u64,
    /// What was not used for so long it drops.
    pub unused_for: Duration,
    /// How the job reaches registries.
    pub reach: Reach,
    /// What the administrator has set for the machine's engine.
    pub taken_over: TakenOver,
    /// The environment, from [`child_environment`](larder_engine::child_environment).
    pub environment: Vec<(OsString, OsString)>,
    /// Its `oom_score_adj` (proc(5)), if it is not to be this process's.
    pub oom_score: Option<String>,
}

impl BuildkitdConfig {
    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("buildkitd.sock")
    }

    fn write_configuration(&self, root: &Path, path: &Path) -> Result<()> {
        let site = Site {
            root,
            socket: &self.socket(),
            run_dir: &self.run_dir,
            keep_bytes: self.keep_bytes,
            unused_seconds: self.unused_for.as_secs(),
        };
        let reach = self.reach.clone().beside(&self.taken_over);
        for range in reach.ranges() {
            tracing::info!(range, "buildkitd knows no ranges of insecure registries");
        }
        let text = buildkitd_toml(of_machine()?, &site, &reach, &certificates());
        files::write_private(path, text.as_bytes()).map_err(EngineError::io("cannot write", path))
    }
}

/// A running `buildkitd`. Dropping it kills it; [`Buildkitd::stop`] is the way to end one whose state is worth
/// keeping.
#[derive(Debug)]
pub struct Buildkitd {
    daemon: Daemon,
    socket: PathBuf,
    program: BuilderProgram,
}

impl Buildkitd {
    /// Starts it from the calling thread, in its namespaces, unless its state on the volume leads out of that. It
    /// does not answer yet: see [`Buildkitd::ready`].
    pub fn spawn(config: &BuildkitdConfig) -> Result<Self> {
        let root = make_place(&config.volume, config.program.version)?;
        admit(&root)?;
        if config.is_alone {
            own_folders(&config.run_dir)?;
        }
        let file = config.run_dir.join("buildkitd.toml");
        config.write_configuration(&root, &file)?;
        let socket = config.socket();
        let group = config.taken_over.socket_group()?;
        let mut command = bound_to_us(
            &config.program.buildkitd,
            &config.taken_over,
            &config.environment,
        );
        // What the machine's own configuration says of these is an option's default (`cmd/buildkitd/main.go`).
        command
            .arg("--config")
            .arg(file)
            .arg("--root")
            .arg(&root)
            .arg(format!("--addr=unix://{}", socket.display()))
            .args(["--group", group.as_deref().unwrap_or(ROOTS_GROUP)]);
        let log = config.run_dir.join("buildkitd.log");
        let daemon = Daemon::spawn("buildkitd", command, &log)?;
        daemon.set_oom_score(config.oom_score.as_deref());
        Ok(Self {
            daemon,
            socket,
            program: config.program.clone(),
        })
    }

    /// Resolves when it answers: it listens when all else is done (`cmd/buildkitd/main.go`). Fails as soon as it has
    /// ended, or at the deadline, with the end of its log.
    pub async fn ready(&mut self, deadline: Duration) -> Result<()> {
        let answered = tokio::select! {
            biased;
            () = self.daemon.end() => false,
            answered = tokio::time::timeout(deadline, answer(&self.socket)) => answered.is_ok(),
        };
        self.daemon.must_run()?;
        if answered {
            Ok(())
        } else {
            Err(self.daemon.no_answer(deadline))
        }
    }

    /// Its socket; `BUILDKIT_HOST` is `unix://` and this.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What runs.
    pub fn program(&self) -> &BuilderProgram {
        &self.program
    }

    /// How it ended, if it is no longer running.
    pub fn dead(&mut self) -> Option<Exit> {
        self.daemon.ended().map(Exit::from)
    }

    /// Resolves when it has ended.
    pub async fn end(&self) {
        self.daemon.end().await;
    }

    /// SIGKILL, without waiting for its end: it may wait for a disk that hangs.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// Asks it to end, which ends its builds, and kills it at the deadline: how its state is left.
    pub async fn stop(mut self, deadline: Duration) -> Seen {
        let (exit, killed) = self.daemon.terminate(deadline).await;
        seen(self.program.version, exit, killed)
    }
}

/// Refuses a state that leads out of the volume: it comes from a store, to which more people may write than may be
/// root here.
fn admit(state: &Path) -> Result<()> {
    must_be_plain(state, "")?;
    for entry in fs::read_dir(state).map_err(EngineError::io("cannot list", state))? {
        let name = entry
            .map_err(EngineError::io("cannot list", state))?
            .file_name();
        let place = Path::new(&name);
        if !state.join(place).is_dir() {
            continue;
        }
        for below in PLAIN {
            let below = place.join(below);
            if folder(state, &below)?.is_some() {
                must_be_plain(state, &below)?;
            }
        }
    }
    Ok(())
}

async fn answer(socket: &Path) {
    while UnixStream::connect(socket).await.is_err() {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_state_that_leads_out_is_refused() {
        let outside = tempfile::tempdir().expect("a directory");
        let made = || {
            let state = tempfile::tempdir().expect("a directory");
            for path in [
                "runc-overlayfs/content/blobs/sha256",
                "runc-overlayfs/content/ingest",
                "runc-overlayfs/snapshots/snapshots/1/fs",
                "runc-overlayfs/executor",
            ] {
                fs::create_dir_all(state.path().join(path)).expect("made");
            }
            fs::write(state.path().join("cache.db"), "x").expect("written");
            // A link in a layer is the layer's.
            symlink(
                "/etc/x",
                state
                    .path()
                    .join("runc-overlayfs/snapshots/snapshots/1/fs/x"),
            )
            .expect("linked");
            state
        };
        admit(made().path()).expect("what a builder leaves");
        for path in [
            "cache.db",
            "runc-overlayfs",
            "runc-overlayfs/executor",
            "runc-overlayfs/content/blobs/sha256",
            "runc-overlayfs/content/ingest",
            "runc-overlayfs/snapshots/snapshots",
        ] {
            let state = made();
            let path = state.path().join(path);
            let _there = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            symlink(outside.path(), &path).expect("linked");
            let refused = admit(state.path());
            assert!(
                matches!(refused, Err(EngineError::Forged { .. })),
                "{}",
                path.display()
            );
        }
    }
}
