//! Where a session's files are.
//!
//! The state folder is the machine's part of a project: a lock, the record of a running session,
//! the sparse file of the open volume. Sockets, logs and mount points are in a folder under /run,
//! because unix sockets need short paths; its name is made of the state folder's.

use std::path::{Path, PathBuf};

use larder_engine::InstanceId;
use larder_volume::VolumeOptions;

use crate::exit::{Done, Failure};
use crate::private;

const RUN: &str = "/run/larder";
/// Where the volume is mounted inside the session's mount namespace: the same on every machine,
/// because engines record absolute paths here and there.
const MOUNT: &str = "/var/lib/larder/volume";

/// The paths of the session that belongs to one state folder.
#[derive(Debug, Clone)]
pub struct Place {
    /// The state folder.
    pub state: PathBuf,
    /// Names the session on this machine.
    pub id: InstanceId,
}

impl Place {
    /// The session of a state folder (an absolute path).
    pub fn of(state: &Path) -> Self {
        let digest = blake3::hash(state.as_os_str().as_encoded_bytes()).to_hex();
        let id = digest[..InstanceId::MAX_BYTES].parse();
        Self {
            state: state.to_owned(),
            id: id.expect("hexadecimal digits are allowed in an instance id"),
        }
    }

    /// Makes the two folders, readable by root alone.
    pub fn create(&self) -> Done<()> {
        let make = |folder: &Path| {
            let made = private::make_folder(folder);
            made.map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))
        };
        make(&self.state).map_err(|why| {
            Failure::input(format!(
                "{why}; name another one with --state or LARDER_STATE"
            ))
        })?;
        make(&self.run()).map_err(Failure::failed)?;
        // Others may pass to the engine's socket, whose own mode says who may use it; they cannot
        // list the folder.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(self.run(), mode).map_err(|error| {
            Failure::failed(format!("cannot open {}: {error}", self.run().display()))
        })
    }

    /// The folder under /run.
    pub fn run(&self) -> PathBuf {
        Path::new(RUN).join(self.id.as_str())
    }

    /// Where the background process listens.
    pub fn control(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// The engine's socket.
    pub fn docker_socket(&self) -> PathBuf {
        self.run().join("docker.sock")
    }

    /// The background process's log.
    pub fn log(&self) -> PathBuf {
        self.run().join("larder.log")
    }

    /// Held by the background process while it lives.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// What has to be cleared if the background process dies.
    pub fn record(&self) -> PathBuf {
        self.state.join("session.json")
    }

    /// The volume's places.
    pub fn volume(&self) -> VolumeOptions {
        VolumeOptions {
            folder: self.state.join("volume"),
            fuse: self.run().join("fuse"),
            mount: PathBuf::from(MOUNT),
        }
    }
}
