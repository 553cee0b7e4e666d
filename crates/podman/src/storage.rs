//! Where the storage is: on the volume, and on the machine.
//!
//! The places on the machine are fixed. buildah has its cache mounts at a path of its own, so one session of a machine
//! can have them; and what is mounted below a directory that root alone may enter gives nobody else rights by its
//! mode, although programs in images keep theirs.

use std::path::{Path, PathBuf};

use larder_engine::EngineError;
use larder_local::files;
use larder_local::own::{NotOurs, OwnFolder};
use larder_model::version::Version;

use crate::Result;

/// Root's alone.
const OUTER: &str = "/var/lib/larder/podman";
/// Podman's `graphroot`.
const GRAPH_ROOT: &str = "/var/lib/larder/podman/storage";
/// Its directory on the volume.
pub(crate) const ON_VOLUME: &str = "podman";
/// That of buildah's cache mounts.
pub(crate) const CACHES_ON_VOLUME: &str = "buildah-cache";
/// The driver of the storage.
pub(crate) const DRIVER: &str = "overlay";
/// The first podman whose buildah (1.29) has its cache mounts in a directory for each user.
const CACHE_OF_USER_SINCE: Version = Version {
    major: 4,
    minor: 4,
    patch: 0,
};

/// The variable by which podman and buildah find their storage: it names [`Storage::file`].
pub const VARIABLE: &str = "CONTAINERS_STORAGE_CONF";

/// Variables that would lead podman or buildah elsewhere.
pub const OF_ANOTHER_STORAGE: [&str; 3] =
    ["STORAGE_DRIVER", "CONTAINER_HOST", "CONTAINER_CONNECTION"];

/// A directory of the volume, and where the machine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its path from the volume's root.
    pub on_volume: &'static Path,
    /// Where the machine has it.
    pub place: &'static Path,
    /// Whether programs in it may have rights by their mode.
    pub keeps_rights: bool,
}

/// The directories that podman of this version works in.
pub fn places(version: Version) -> [Placed; 2] {
    // buildah `internal/volumes`, `CacheParent`; TMPDIR moves it.
    let caches = if version < CACHE_OF_USER_SINCE {
        "/var/tmp/buildah-cache"
    } else {
        "/var/tmp/buildah-cache-0"
    };
    [
        Placed {
            on_volume: Path::new(ON_VOLUME),
            place: Path::new(GRAPH_ROOT),
            keeps_rights: true,
        },
        Placed {
            on_volume: Path::new(CACHES_ON_VOLUME),
            place: Path::new(caches),
            keeps_rights: false,
        },
    ]
}

/// The settings of a session's storage, in its run directory.
#[derive(Clone, Debug)]
pub struct Storage {
    run: PathBuf,
}

impl Storage {
    /// That of a session with this run directory.
    pub fn of(run: &Path) -> Self {
        Self {
            run: run.to_owned(),
        }
    }

    /// The file with its settings.
    pub fn file(&self) -> PathBuf {
        self.run.join("storage.conf")
    }

    /// Podman's `runroot`: what is gone with the session.
    pub(crate) fn run_root(&self) -> PathBuf {
        self.run.join("podman")
    }

    /// Podman's `graphroot`.
    pub(crate) fn graph_root() -> &'static Path {
        Path::new(GRAPH_ROOT)
    }

    /// Writes the settings, and makes the directory around the storage.
    pub fn write(&self) -> Result<()> {
        let outer = OwnFolder::new(OUTER.into(), None);
        outer.make().map_err(|why| match why {
            NotOurs::Io { path, source } => EngineError::io("cannot make", &path)(source),
            other => EngineError::forged(Path::new(OUTER), format!("is not safe: {other}")),
        })?;
        let file = self.file();
        let written = files::write_public(&file, self.text().as_bytes());
        written.map_err(EngineError::io("cannot write", &file))
    }

    /// A private mount over the driver's directory would keep the volume in every mount namespace that is made
    /// meanwhile: there is none (`skip_mount_home`, storage `drivers/overlay`, `Init`).
    fn text(&self) -> String {
        format!(
            "[storage]\ndriver = \"{DRIVER}\"\ngraphroot = \"{GRAPH_ROOT}\"\nrunroot = \"{}\"\n\n\
             [storage.options.overlay]\nmountopt = \"nodev\"\nskip_mount_home = \"true\"\n",
            self.run_root().display()
        )
    }
}
