//! Where the storage is: on the volume, and on the machine.
//!
//! The places on the machine are fixed. buildah has its cache mounts at a path of its own, so one session of a machine
//! can have them; and what is mounted below a directory that root alone may enter gives nobody else rights by its
//! mode, although programs in images keep theirs.
//!
//! The storage is root's, or an ordinary user's. On the volume both belong to root: there the user's files have the
//! numbers of the user's own namespace, and are given to the user by the mount.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use larder_engine::EngineError;
use larder_local::files;
use larder_local::own::{NotOurs, OwnFolder};
use larder_model::version::Version;

use crate::Result;
use crate::person::Person;

/// Where podman's `graphroot` is, and the mode of the directory around it: root's storage is closed to all others, and
/// an ordinary user has to get to his, which is closed itself.
const OF_ROOT: (&str, u32) = ("/var/lib/larder/podman/storage", 0o700);
const OF_USER: (&str, u32) = ("/run/larder-podman/storage", 0o711);
/// Its directory on the volume.
pub(crate) const ON_VOLUME: &str = "podman";
/// That of buildah's cache mounts.
pub(crate) const CACHES_ON_VOLUME: &str = "buildah-cache";
/// The driver of the storage.
pub(crate) const DRIVER: &str = "overlay";
/// What it is called in keys where an ordinary user's podman uses it.
pub(crate) const DRIVER_OF_USER: &str = "overlay-rootless";
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
    pub place: PathBuf,
    /// Whether programs in it may have rights by their mode.
    pub keeps_rights: bool,
}

/// A session's storage, whose settings are in its run directory.
#[derive(Clone, Debug)]
pub struct Storage {
    run: PathBuf,
    /// Whose it is, if not root's.
    person: Option<Person>,
}

impl Storage {
    /// That of a session with this run directory.
    pub fn new(run: &Path, person: Option<Person>) -> Self {
        Self {
            run: run.to_owned(),
            person,
        }
    }

    /// The file with its settings, in a session's run directory.
    pub fn file(run: &Path) -> PathBuf {
        run.join("storage.conf")
    }

    /// Whose it is, if not root's.
    pub fn person(&self) -> Option<&Person> {
        self.person.as_ref()
    }

    /// The session's run directory.
    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    /// Podman's `graphroot`.
    pub(crate) fn graph_root(&self) -> &'static Path {
        Path::new(self.site().0)
    }

    /// That of everybody who has a session's storage.
    pub(crate) fn graph_roots() -> [&'static Path; 2] {
        [OF_ROOT, OF_USER].map(|(root, _)| Path::new(root))
    }

    fn site(&self) -> (&'static str, u32) {
        match self.person {
            Some(_) => OF_USER,
            None => OF_ROOT,
        }
    }

    /// The directories that podman of this version works in.
    pub fn places(&self, version: Version) -> [Placed; 2] {
        [
            Placed {
                on_volume: Path::new(ON_VOLUME),
                place: self.graph_root().to_owned(),
                keeps_rights: true,
            },
            Placed {
                on_volume: Path::new(CACHES_ON_VOLUME),
                place: self.caches(version),
                keeps_rights: false,
            },
        ]
    }

    /// buildah `internal/volumes`, `CacheParent`; TMPDIR moves it.
    fn caches(&self, version: Version) -> PathBuf {
        const CACHES: &str = "/var/tmp/buildah-cache";
        if version < CACHE_OF_USER_SINCE {
            return CACHES.into();
        }
        let user = self.person.as_ref().map_or(0, |person| person.user.uid);
        format!("{CACHES}-{user}").into()
    }

    /// Writes the settings, and makes the directory around the storage.
    pub fn write(&self) -> Result<()> {
        let (root, mode) = self.site();
        let outer = Path::new(root).parent().expect("it is in a directory");
        let own = OwnFolder::new(outer.to_owned(), None);
        own.make().map_err(|why| match why {
            NotOurs::Io { path, source } => EngineError::io("cannot make", &path)(source),
            other => EngineError::forged(outer, format!("is not safe: {other}")),
        })?;
        let opened = fs::set_permissions(outer, Permissions::from_mode(mode));
        opened.map_err(EngineError::io("cannot open", outer))?;
        let file = Self::file(&self.run);
        let written = files::write_public(&file, self.text().as_bytes());
        written.map_err(EngineError::io("cannot write", &file))
    }

    /// A private mount over the driver's directory would keep the volume in every mount namespace that is made
    /// meanwhile: there is none (`skip_mount_home`, storage `drivers/overlay`, `Init`).
    ///
    /// Of a user's storage nothing is said but where it is: then root's podman, which may read the same file, has its
    /// own one, and the user's `runroot` is where the user's podman would have it (storage `types/options.go`,
    /// `getRootlessStorageOpts`).
    fn text(&self) -> String {
        let root = self.graph_root().display();
        let places = match self.person {
            Some(_) => format!("rootless_storage_path = \"{root}\""),
            None => format!(
                "graphroot = \"{root}\"\nrunroot = \"{}\"",
                self.run.join("podman").display()
            ),
        };
        format!(
            "[storage]\ndriver = \"{DRIVER}\"\n{places}\n\n\
             [storage.options.overlay]\nmountopt = \"nodev\"\nskip_mount_home = \"true\"\n"
        )
    }
}
