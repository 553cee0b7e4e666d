//! Why nothing was restored or saved, or cannot be.

use std::io;
use std::path::{Path, PathBuf};

use larder_docker::ApiError;
use larder_docker::streams::StreamError;
use larder_local::people::Blame;
use larder_store::StoreError;

use crate::document::DocumentError;

/// Why nothing was restored or saved, or cannot be. Its text names the value at fault and the cure.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The address of the engine makes no sense.
    #[error(transparent)]
    Endpoint(ApiError),
    /// The engine cannot be reached.
    #[error(transparent)]
    Connect(ApiError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] ApiError),
    /// A stream of images from or to the engine.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    NoStore(StoreError),
    /// The store cannot be listed.
    #[error("the store cannot be read: {0}")]
    Find(StoreError),
    /// A part of the archive that is continued cannot be read.
    #[error("cannot read the parent archive: {0}")]
    Parent(StoreError),
    /// Something cannot be read from the store or written to it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive's document makes no sense.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A file of the folder with `BuildKit`'s cache.
    #[error("the build cache: {}: {}", .0.display(), .1)]
    Cache(PathBuf, #[source] io::Error),
    /// A folder or file that nobody can mean by a build cache, and what it is instead.
    #[error("the build cache: {} {}", .0.display(), .1)]
    NoCache(PathBuf, String),
    /// There can be no folder of ours for `BuildKit`'s cache.
    #[error("no directory for BuildKit's cache ({0}); name one with --cache")]
    NoFolder(String),
    /// The archive does not hold a blob that it names.
    #[error("the archive lacks the blob {0}")]
    Lacking(String),
    /// The export does not hold a blob that an image of it names.
    #[error("{0} is not in the engine's export")]
    NotExported(String),
    /// There is nothing to save.
    #[error("the engine has no image to save; build one first, or name one")]
    NothingToSave,
    /// An image was named that the engine does not have.
    #[error("the engine has no image {0:?}; `docker images` lists those it has")]
    NoSuchImage(String),
    /// Secrets are about to be saved.
    #[error("nothing saved: {0} steps or arguments seem to hold secrets (--deny-secrets)")]
    Secrets(usize),
    /// A build without a context. Its last option and the last argument, which that took as its value.
    #[error("the build has no context{}; give a directory, as for `docker build`", was_taken(.0.as_ref()))]
    NoContext(Option<(String, String)>),
    /// A build with two contexts.
    #[error("the build has two contexts, {0:?} and {1:?}; `docker build` takes one")]
    TwoContexts(String, String),
    /// An option of `docker build` came last that wants a value.
    #[error("{0} needs a value")]
    NoValue(String),
    /// `DOCKER_BUILDKIT` has a value that docker refuses.
    #[error("DOCKER_BUILDKIT={0:?} is neither true nor false; write 1 or 0")]
    BuildkitVariable(String),
    /// The docker command is not there.
    #[error("there is no docker command here; install docker-cli")]
    NoDocker,
    /// The docker command does not work.
    #[error("`{} --version` does not print a version", .0.display())]
    SilentDocker(PathBuf),
    /// The docker command cannot be run.
    #[error("docker cannot be run: {0}")]
    RunDocker(io::Error),
    /// A builder that fails on restored images.
    #[error(
        "the classic builder cannot use restored images on the containerd image store: it fails on the first \
         metadata instruction (`failed to read diff archive: \"\" failed validation`); build with BuildKit: set \
         DOCKER_BUILDKIT=1 and install docker-buildx"
    )]
    ClassicOnContainerd,
    /// A docker command that cannot move `BuildKit`'s cache: the version that can, and this one's.
    #[error(
        "saving BuildKit's cache needs buildx and docker {0}.0 or later (this is {1}); install docker-cli and \
         docker-buildx"
    )]
    NeedsBuildx(u32, String),
}

fn was_taken(taken: Option<&(String, String)>) -> String {
    taken.map_or_else(String::new, |(name, value)| {
        format!(" ({value:?} is the value of {name})")
    })
}

impl ArchiveError {
    /// An error about a file of the build cache.
    pub(crate) fn cache(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Cache(path, source)
    }

    /// Whether our key does not open the store.
    pub fn is_locked(&self) -> bool {
        matches!(
            self,
            Self::Find(StoreError::Locked { .. })
                | Self::Parent(StoreError::Locked { .. })
                | Self::Store(StoreError::Locked { .. })
        )
    }

    /// Whether what the engine sent of images was not whole.
    pub(crate) fn is_of_export(&self) -> bool {
        matches!(
            self,
            // The last is one that broke off while a blob of it was stored.
            Self::Stream(_) | Self::NotExported(_) | Self::Store(StoreError::Content { .. })
        )
    }

    /// Who can mend it.
    pub fn blame(&self) -> Blame {
        match self {
            _ if self.is_locked() => Blame::Input,
            Self::Endpoint(_)
            | Self::NoStore(StoreError::Location { .. })
            | Self::NoSuchImage(_)
            | Self::Secrets(_)
            | Self::NoContext(_)
            | Self::TwoContexts(..)
            | Self::NoValue(_)
            | Self::BuildkitVariable(_)
            | Self::ClassicOnContainerd => Blame::Input,
            Self::Connect(_) | Self::NoDocker | Self::SilentDocker(_) | Self::NeedsBuildx(..) => {
                Blame::Machine
            }
            _ => Blame::Ours,
        }
    }
}
