//! The storage of podman and buildah on a volume, with buildah's cache mounts: directories of the volume at fixed
//! places of the machine, in which root's podman works, or an ordinary user's.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use larder_engine::collector::Collected;
use larder_engine::process::Identity;
use larder_podman::{Bound, Info, Person, Placed, Podman, PodmanProgram, Storage};
use larder_volume::attached::{Rights, View};

use super::folders::{FoldersLiving, make_own, open_place};
use crate::background::blocking;
use crate::background::events::Events;
use crate::background::turn::Turn;
use crate::lock::One;
use crate::{Place, Result, SessionError, Settings};

/// Whose it is alone, as podman's own storage is.
const MODE: u32 = 0o700;
/// Time for containers to end that cannot be removed.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// What a storage is brought up with.
#[derive(Debug, Clone)]
pub(in crate::background) struct PodmanComing {
    pub program: PodmanProgram,
    storage: Storage,
    environment: Vec<(OsString, OsString)>,
}

impl PodmanComing {
    /// Looks at the program, and takes the machine's turn.
    pub(super) async fn look(settings: &Settings, place: &Place) -> Result<(Self, Turn)> {
        let (path, own) = (settings.path.clone(), place.clone());
        let environment = settings.engine_environment.clone();
        let user = settings.tenant.podman_user();
        blocking(move || {
            let program = larder_podman::probe(&path)?;
            let person = user.map(Person::look).transpose()?;
            let storage = Storage::new(&own.run(), person);
            let turn = Turn::take(One::Podman, &own)?;
            let mut turn = turn.ok_or(SessionError::PodmanTaken)?;
            turn.stand(&own)?;
            // Not while another session's containers are in the user's namespaces.
            Podman::wake(&program, &storage, &environment);
            let coming = Self {
                program,
                storage,
                environment,
            };
            Ok((coming, turn))
        })
        .await
    }

    /// Where its directories belong.
    pub(in crate::background) fn places(&self) -> [Placed; 2] {
        self.storage.places(self.program.version)
    }

    /// How one of them is seen there.
    pub(in crate::background) fn view(&self, placed: &Placed) -> View {
        View {
            rights: if placed.keeps_rights {
                Rights::Kept
            } else {
                Rights::Taken
            },
            owners: self.storage.person().map(|person| person.owners.clone()),
        }
    }

    pub(super) fn compatibility(&self) -> String {
        self.program.compatibility(&self.storage)
    }

    /// Where the machine has one, held open. What is there already is hidden meanwhile. What is made stays, so that for
    /// caches belongs to who would have made it; in that for the storage nobody shall work without the volume.
    pub(in crate::background) fn open(&self, placed: &Placed) -> Result<File> {
        let place = &placed.place;
        let person = self.storage.person().filter(|_| !placed.keeps_rights);
        let user = person.map(|person| &person.user);
        let made = DirBuilder::new().mode(MODE).create(place);
        let made = made.and_then(|()| match user {
            Some(user) => lchown(place, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        });
        match made {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(SessionError::path("make the directory", place)(error))
            }
            _ => open_place(place),
        }
    }

    /// Writes the settings of the storage.
    pub(in crate::background) fn write(&self) -> Result<()> {
        Ok(self.storage.write()?)
    }

    pub(in crate::background) fn podman(&self) -> Podman {
        Podman::new(&self.program, &self.storage, &self.environment)
    }
}

/// Makes a directory of the volume that is mounted at `volume`, and closes it to others than its owner: its mode is a
/// job's.
pub(in crate::background) fn settle(volume: &Path, placed: &Placed) -> Result<()> {
    let own = volume.join(placed.on_volume);
    make_own(&own, MODE)?;
    let closed = lchown(&own, Some(0), Some(0))
        .and_then(|()| fs::set_permissions(&own, Permissions::from_mode(MODE)));
    closed.map_err(SessionError::path("close to others", &own))
}

/// A storage that podman works in.
pub(in crate::background) struct PodmanLiving {
    podman: Podman,
    folders: FoldersLiving,
    run: PathBuf,
    /// What there was before the job.
    found: Arc<Found>,
}

/// What there is when the storage is up.
#[derive(Debug)]
pub(in crate::background) struct Found {
    pub info: Info,
    images: BTreeSet<String>,
    networks: Vec<String>,
}

impl Found {
    pub(in crate::background) fn look(podman: &Podman) -> Result<Self> {
        Ok(Self {
            info: podman.info()?,
            images: podman.held()?,
            networks: podman.networks()?,
        })
    }
}

impl PodmanLiving {
    pub(in crate::background) fn new(
        podman: Podman,
        folders: FoldersLiving,
        run: PathBuf,
        found: Found,
    ) -> Self {
        Self {
            podman,
            folders,
            run,
            found: Arc::new(found),
        }
    }

    pub(in crate::background) fn info(&self) -> &Info {
        &self.found.info
    }

    pub(in crate::background) fn podman(&self) -> &Podman {
        &self.podman
    }

    /// Who drops what need not be kept.
    pub(in crate::background) fn keeper(&self) -> Keeper {
        Keeper {
            podman: self.podman.clone(),
            found: Arc::clone(&self.found),
        }
    }

    /// Removes containers and the job's networks; what did not work.
    pub(in crate::background) async fn rest(&self, limit: Duration) -> Vec<String> {
        let (podman, found) = (self.podman.clone(), Arc::clone(&self.found));
        blocking(move || podman.rest(&found.networks, limit)).await
    }

    /// Takes the storage away from the machine; says why it is not to be saved, if so.
    pub(super) async fn leave(
        self,
        device: (u32, u32),
        is_wanted: bool,
        events: &Events,
    ) -> Option<String> {
        let stuck = end_users(self.run).await;
        let left = self.folders.leave(device, is_wanted, events).await;
        let stuck = stuck.first();
        let stuck =
            stuck.map(|process| format!("a container's process {} does not end", process.pid));
        stuck.or(left)
    }

    pub(super) async fn abandon(self) {
        let stuck = end_users(self.run).await;
        if !stuck.is_empty() {
            tracing::warn!(?stuck, "containers stay");
        }
        self.folders.abandon().await;
    }
}

/// Ends what still works in the storage; those that do not end.
async fn end_users(run: PathBuf) -> Vec<Identity> {
    blocking(move || larder_podman::end_users(&run, KILL_LIMIT)).await
}

/// Drops of a storage what need not be kept.
pub(in crate::background) struct Keeper {
    podman: Podman,
    found: Arc<Found>,
}

impl Keeper {
    pub(in crate::background) async fn drop_unneeded(&self, bound: Bound) -> Collected {
        let (podman, found) = (self.podman.clone(), Arc::clone(&self.found));
        blocking(move || podman.drop_unneeded(&found.images, bound)).await
    }
}
