//! Where a session's files are.
//!
//! The state directory has a lock, the record of a running session and the sparse file of its volume. Sockets,
//! logs and mount points are in a directory below /run, because unix sockets need short paths. Its name is
//! a hash of the state directory's path.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use larder_engine::InstanceId;
use larder_local::own::{NotOurs, OwnFolder};
use larder_volume::VolumeOptions;

use crate::{Result, SessionError};

const RUN: &str = "/run/larder";
/// Where the volume is mounted inside the session's mount namespace. It is the same on every machine,
/// because engines write absolute paths into their state.
const MOUNT: &str = "/var/lib/larder/volume";

/// The paths of the session that belongs to one state directory.
#[derive(Debug, Clone)]
pub struct Place {
    state: OwnFolder,
    /// Names the session on this machine.
    pub(crate) id: InstanceId,
}

impl Place {
    /// The session of a state directory, which is ours if it is there.
    pub fn of(state: &OwnFolder) -> Result<Self> {
        match state.existing() {
            // Who is not root cannot even look, and so believes nothing.
            Err(NotOurs::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {}
            looked => drop(looked.map_err(not_ours)?),
        }
        let digest = blake3::hash(state.named().as_os_str().as_encoded_bytes()).to_hex();
        let id = digest[..InstanceId::MAX_BYTES].parse();
        Ok(Self {
            state: state.clone(),
            id: id.expect("hexadecimal digits are allowed in an instance id"),
        })
    }

    /// Makes the state directory and those under /run. Root alone may look into any of them.
    pub(crate) fn create(&self) -> Result<()> {
        self.make_state()?;
        // Others may pass to the engine's socket, whose own mode says who may use it. /run is empty
        // after a boot, so the parent is as new as the directory in it.
        for folder in [Path::new(RUN), &self.run()] {
            let own = OwnFolder::new(folder.to_owned(), None);
            own.make().map_err(not_ours)?;
            fs::set_permissions(folder, Permissions::from_mode(0o711))
                .map_err(SessionError::path("open", folder))?;
        }
        Ok(())
    }

    /// Makes the state directory alone.
    pub(crate) fn make_state(&self) -> Result<()> {
        self.state.make().map_err(not_ours)?;
        Ok(())
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &Path {
        self.state.named()
    }

    /// Whether the state directory is there.
    pub fn exists(&self) -> bool {
        self.state().exists()
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
        self.state().join("lock")
    }

    /// What has to be cleared if the background process dies.
    pub(crate) fn record(&self) -> PathBuf {
        self.state().join("session.json")
    }

    pub(crate) fn volume(&self) -> VolumeOptions {
        VolumeOptions {
            folder: self.state().join("volume"),
            fuse: self.run().join("fuse"),
            mount: PathBuf::from(MOUNT),
        }
    }
}

/// A directory that cannot be made is told as that: it may be on a disk that is full, or read-only.
fn not_ours(why: NotOurs) -> SessionError {
    match why {
        NotOurs::Io { path, source } => SessionError::StateFolder(path, source),
        other => SessionError::NotOurs(other),
    }
}
