//! Where a session's files are.
//!
//! The state directory has a lock, the record of a running session and the sparse file of its volume. Sockets,
//! logs and mount points are in a directory below /run, because unix sockets need short paths. Its name is
//! a hash of the state directory's path.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use larder_engine::InstanceId;
use larder_local::files::make_private_folder;
use larder_volume::VolumeOptions;

use crate::settings::Wanted;
use crate::{Result, SessionError};

/// The sessions of this machine.
pub(crate) const RUN: &str = "/run/larder";
/// Below a state directory: those of sessions for something else that run beside its own.
const BESIDE: &str = "beside";
/// Where the volume is mounted inside the session's mount namespace. It is the same on every machine,
/// because engines write absolute paths into their state.
const MOUNT: &str = "/var/lib/larder/volume";

/// The paths of the session that belongs to one state directory.
#[derive(Debug, Clone)]
pub struct Place {
    /// The state directory.
    pub state: PathBuf,
    /// Names the session on this machine.
    pub(crate) id: InstanceId,
}

impl Place {
    /// The session of a state directory (an absolute path).
    pub fn of(state: &Path) -> Self {
        let digest = blake3::hash(state.as_os_str().as_encoded_bytes()).to_hex();
        let id = digest[..InstanceId::MAX_BYTES].parse();
        Self {
            state: state.to_owned(),
            id: id.expect("hexadecimal digits are allowed in an instance id"),
        }
    }

    /// The place of a session for something else than what the session here is for.
    #[must_use]
    pub fn beside(&self, wanted: &Wanted) -> Self {
        let Wanted {
            project,
            job,
            scope,
            store,
            ..
        } = wanted;
        let name = serde_json::to_vec(&[project, job, scope, store]);
        let digest = blake3::hash(&name.expect("texts have a JSON form")).to_hex();
        Self::of(
            &self
                .state
                .join(BESIDE)
                .join(&digest[..InstanceId::MAX_BYTES]),
        )
    }

    /// All places beside this one where there is or was a session.
    pub fn all_beside(&self) -> Vec<Self> {
        let entries = fs::read_dir(self.state.join(BESIDE)).into_iter().flatten();
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
        folders.map(|folder| Self::of(&folder)).collect()
    }

    /// Makes the state directory. Root alone may look into it.
    pub(crate) fn create_state(&self) -> Result<()> {
        make_private_folder(&self.state)
            .map_err(|error| SessionError::StateFolder(self.state.clone(), error))
    }

    /// Makes the directories under /run, for who has the state directory's lock. Root alone may look into them.
    pub(crate) fn create_run(&self) -> Result<()> {
        // Others may pass to the engine's socket, whose own mode says who may use it. /run is empty
        // after a boot, so the parent is as new as the directory in it.
        for folder in [Path::new(RUN), &self.run()] {
            make_private_folder(folder)
                .map_err(SessionError::path("make the directory", folder))?;
            fs::set_permissions(folder, Permissions::from_mode(0o711))
                .map_err(SessionError::path("open", folder))?;
        }
        Ok(())
    }

    /// The folder under /run.
    pub(crate) fn run(&self) -> PathBuf {
        Path::new(RUN).join(self.id.as_str())
    }

    /// Where the background process listens.
    pub(crate) fn control(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// The engine's socket.
    pub fn docker_socket(&self) -> PathBuf {
        self.run().join("docker.sock")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.run().join("larder.log")
    }

    /// Held by the background process while it lives.
    pub(crate) fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// What has to be cleared if the background process dies.
    pub(crate) fn record(&self) -> PathBuf {
        self.state.join("session.json")
    }

    pub(crate) fn volume(&self) -> VolumeOptions {
        VolumeOptions {
            folder: self.state.join("volume"),
            fuse: self.run().join("fuse"),
            mount: PathBuf::from(MOUNT),
        }
    }
}
