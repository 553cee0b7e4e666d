//! What can go wrong with a volume.

use std::io;
use std::path::{Path, PathBuf};

use larder_store::StoreError;

/// A fault of the volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Something that the machine should have is not there.
    #[error("{what}: {cure}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to get it.
        cure: &'static str,
    },
    /// A system call on a file failed.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// On which file, folder or device.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// A program of the system failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// The file system is not in a state that may be saved.
    #[error("{0}")]
    Unclean(String),
    /// A read or a write of the volume failed.
    #[error("{}", .0.why)]
    Fault(Fault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a volume must not be published.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What happened, in one line.
    pub why: String,
    /// Whether the snapshot itself is damaged, so that nobody should try it again.
    pub damage: bool,
}

impl Fault {
    pub(crate) fn of_store(error: &StoreError) -> Self {
        Self {
            why: error.to_string(),
            damage: error.is_damage(),
        }
    }

    pub(crate) fn of_disk(error: &io::Error) -> Self {
        Self {
            why: format!("the local disk: {error}"),
            damage: false,
        }
    }
}

impl VolumeError {
    pub(crate) fn io<E: Into<io::Error>>(
        what: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_owned();
        move |error| Self::Io {
            what,
            path,
            error: error.into(),
        }
    }
}
