//! Why a session could not be started, used or ended.

use std::io;
use std::path::{Path, PathBuf};

use larder_engine::EngineError;
use larder_local::child::NoAnswer;
use larder_local::own::NotOurs;
use larder_local::people::Blame;
use larder_store::StoreError;
use larder_volume::VolumeError;

use crate::protocol::{Event, Failed};
use crate::settings::Wanted;

/// Why a session could not be started, used or ended. Its text names the value at fault and the cure.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The engine, or what it needs of the machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The volume, or what it needs of the machine.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Root alone may mount and start engines.
    #[error("mounting a volume and starting an engine need root: run larder with sudo -E")]
    NeedsRoot,
    /// Somebody who is not root asks for a session.
    #[error("sessions belong to root: run larder with sudo -E")]
    BelongsToRoot,
    /// A device that a volume needs, and the kernel module that makes it.
    #[error(
        "{0} cannot be opened ({2}): load the {1} module (modprobe {1}), or start the container with --privileged"
    )]
    Device(&'static str, &'static str, #[source] io::Error),
    /// The program that makes file systems.
    #[error("mkfs.ext4 was not found: install the package e2fsprogs")]
    NoMkfs,
    /// A folder is where nobody can write.
    #[error("{} is on a read-only file system: mount a volume or a tmpfs there", .0.display())]
    ReadOnly(PathBuf),
    /// The state directory cannot be made.
    #[error(
        "cannot make the directory {}: {}; name another one with --state or LARDER_STATE",
        .0.display(), .1
    )]
    StateFolder(PathBuf, #[source] io::Error),
    /// Somebody else could have filled the state directory, or put another in its place.
    #[error(
        "the state directory is not safe from others: {0}; set that right, or name another one with --state or \
         LARDER_STATE"
    )]
    NotOurs(NotOurs),
    /// A directory that nothing can be mounted on as it is.
    #[error("{}: {}", .0.display(), .1)]
    Folder(PathBuf, &'static str),
    /// Something in a snapshot is where a directory should be.
    #[error("the snapshot was not made by an honest job: {} is no directory", .0.display())]
    Forged(PathBuf),
    /// Another background process has the state folder.
    #[error(
        "another larder is starting or ending with the state directory {}; wait for it, or use another one",
        .0.display()
    )]
    Busy(PathBuf),
    /// The state directory's session is for something else, and ours cannot stand beside it.
    #[error(
        "the session of the state directory {} is not for {}, and two engines cannot both be in the machine's \
         place; use --engine private, which gets a session of its own, or wait for the other one to end",
        .0.display(), .1
    )]
    Occupied(PathBuf, Box<Wanted>),
    /// Another session has what podman has one of on a machine.
    #[error(
        "another session has the storage of podman, of which there is one on a machine: wait for it to end"
    )]
    PodmanTaken,
    /// A process of an earlier session stays, by its number.
    #[error(
        "process {0} of an earlier session does not end (it may wait for a disk that hangs); use another \
         --state directory, or restart the machine"
    )]
    Stuck(i32),
    /// Something on this machine that should have worked: what was being done, and why it was not.
    #[error("cannot {0}: {1}")]
    Io(String, #[source] io::Error),
    /// The background process got something else than settings.
    #[error("the settings are not valid: {0}")]
    Settings(serde_json::Error),
    /// The session accepts connections without serving them.
    #[error("the session accepts connections but does not answer")]
    Silent,
    /// The session ended before it said its last word.
    #[error("the background process died; the next `larder up` clears what it left")]
    EndedEarly,
    /// The session said something that is no event.
    #[error("cannot understand the session's answer {0:?}: {1}")]
    NotUnderstood(String, #[source] serde_json::Error),
    /// The session answered another question.
    #[error("unexpected answer of the session: {0:?}")]
    Unexpected(Box<Event>),
    /// The docker command line does not take our context.
    #[error("`docker context use larder` failed")]
    NoContext,
    /// The context is another session's.
    #[error(
        "the docker context `larder` is another session's ({0}): use `larder run`, or say how this job's commands \
         find their engine: --env-file FILE, or --no-context and the printed DOCKER_HOST"
    )]
    ContextTaken(String),
    /// The docker command line does not answer.
    #[error("`docker context`: {0}")]
    Context(#[source] NoAnswer),
    /// What went wrong is only a warning without `--strict`.
    #[error("{0} (--strict)")]
    Strict(String),
    /// Why the background process failed, in its own words.
    #[error("{}", .0.message)]
    Told(Failed),
}

impl SessionError {
    /// An error on this machine; `doing` follows "cannot".
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io(doing, source)
    }

    /// The same about a file or folder.
    pub(crate) fn path(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("{doing} {}", path.display()))
    }

    /// Who can mend it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Told(failed) => failed.blame,
            Self::StateFolder(..)
            | Self::NotOurs(_)
            | Self::Folder(..)
            | Self::Engine(EngineError::UnknownValue { .. })
            | Self::Store(StoreError::Location { .. } | StoreError::Locked { .. }) => Blame::Input,
            Self::NeedsRoot
            | Self::BelongsToRoot
            | Self::Device(..)
            | Self::NoMkfs
            | Self::ReadOnly(_)
            | Self::Store(StoreError::NotListed(_))
            | Self::Volume(VolumeError::Missing { .. })
            | Self::Engine(
                EngineError::ProgramMissing { .. }
                | EngineError::Forbidden { .. }
                | EngineError::NoRootless { .. }
                | EngineError::TakeoverRefused { .. }
                | EngineError::SettingRefused { .. },
            ) => Blame::Machine,
            _ => Blame::Ours,
        }
    }
}

impl From<SessionError> for Failed {
    fn from(error: SessionError) -> Self {
        Self {
            blame: error.blame(),
            message: error.to_string(),
        }
    }
}
