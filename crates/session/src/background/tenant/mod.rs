//! Who lives on a session's volume: an engine of ours, a builder, podman's storage, or directories of this machine.
//! [`Coming`] is one that was looked at and is to move in, [`Living`] one that has.

mod builder;
mod buildx;
mod engine;
mod folders;
mod images;
mod podman;

use std::time::Duration;

use larder_buildkit::Seen;
use larder_docker::ImageStore;
use larder_engine::process::Identity;
use larder_engine::program::EngineProgram;
use larder_engine::{Exit, holders};
use larder_model::compatibility::{self, Family};
use larder_model::version::Version;
use larder_volume::Volume;
use tokio::sync::oneshot;

pub(super) use self::builder::{BuilderComing, BuilderLiving, CACHE_UNUSED};
pub(super) use self::engine::{EngineComing, EngineLiving};
pub(super) use self::folders::{FoldersComing, FoldersLiving};
pub(super) use self::images::Holder;
pub(super) use self::podman::{Found, Keeper, PodmanComing, PodmanLiving, settle};
use super::events::Events;
use super::turn::Turn;
use crate::background::blocking;
use crate::settings::Tenant;
use crate::{Place, Result, Settings};

/// Time for processes that use the volume to end.
const HOLDERS_LIMIT: Duration = Duration::from_secs(10);

/// Who is to live on the volume, with what was found out for it.
#[derive(Debug, Clone)]
pub(super) enum Coming {
    Engine(Box<EngineComing>),
    Builder(Box<BuilderComing>),
    Podman(Box<PodmanComing>),
    Folders(FoldersComing),
}

/// Which volumes somebody can continue.
#[derive(Debug)]
pub(super) struct Continues {
    /// What must be equal.
    pub compatibility: String,
    /// The version that a snapshot must not be newer than. Directories have none, and a builder looks for itself.
    pub version: Option<(Family, Version)>,
}

impl Continues {
    fn engine(program: &EngineProgram, image_store: ImageStore) -> Self {
        Self {
            compatibility: program.compatibility(image_store),
            version: Some((Family::Docker, program.version)),
        }
    }

    fn builder() -> Self {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        Self {
            compatibility: compatibility::of_builder(os, arch),
            version: None,
        }
    }
}

impl Coming {
    /// Looks at what it needs of this machine, beyond the programs of an engine and the OOM score that are known already,
    /// and tells on the way which volumes it can continue. An engine that is to take the place of the machine's has the
    /// turn.
    pub(super) async fn look(
        settings: &Settings,
        place: &Place,
        (program, oom_score): (Option<EngineProgram>, Option<String>),
        tell: oneshot::Sender<Continues>,
        events: &Events,
    ) -> Result<(Self, Option<Turn>)> {
        // Who looks for a volume may have failed meanwhile, and not hear it.
        let tell = |continues| drop(tell.send(continues));
        let (coming, turn) = match &settings.tenant {
            Tenant::Engine => {
                let program = program.expect("the command looked at it (`JobRequest::check`)");
                let known = (program, oom_score);
                let looked = EngineComing::look(settings, place, known, tell, events);
                let (engine, turn) = looked.await?;
                return Ok((Self::Engine(Box::new(engine)), turn));
            }
            Tenant::Builder => {
                tell(Continues::builder());
                let builder = BuilderComing::look(settings, oom_score).await?;
                return Ok((Self::Builder(Box::new(builder)), None));
            }
            Tenant::Podman | Tenant::UsersPodman(_) => {
                let (podman, turn) = PodmanComing::look(settings, place).await?;
                (Self::Podman(Box::new(podman)), Some(turn))
            }
            Tenant::Folders(folders) => {
                let (folders, person) = (folders.clone(), settings.person);
                let folders = blocking(move || FoldersComing::look(&folders, person)).await?;
                (Self::Folders(folders), None)
            }
        };
        tell(coming.continues());
        Ok((coming, turn))
    }

    /// Which volumes it can continue.
    pub(super) fn continues(&self) -> Continues {
        match self {
            Self::Engine(engine) => Continues::engine(&engine.program, engine.image_store),
            Self::Builder(_) => Continues::builder(),
            Self::Podman(podman) => Continues {
                compatibility: podman.compatibility(),
                version: Some((Family::Podman, podman.program.version)),
            },
            Self::Folders(folders) => Continues {
                compatibility: folders.compatibility(),
                version: None,
            },
        }
    }
}

/// Who lives on the volume.
pub(super) enum Living {
    Engine(Box<EngineLiving>),
    Builder(Box<BuilderLiving>),
    Podman(Box<PodmanLiving>),
    Folders(FoldersLiving),
}

/// How it left.
pub(super) struct Left {
    /// The builders that there were: ours, and those in containers of the engine.
    pub builders: Vec<Seen>,
    /// Why what it left is not to be saved.
    pub doubt: Option<String>,
}

impl Left {
    fn because(doubt: Option<String>) -> Self {
        let builders = Vec::new();
        Self { builders, doubt }
    }
}

impl Living {
    pub(super) fn engine(&mut self) -> Option<&mut EngineLiving> {
        match self {
            Self::Engine(engine) => Some(engine),
            Self::Builder(_) | Self::Podman(_) | Self::Folders(_) => None,
        }
    }

    pub(super) fn podman(&self) -> Option<&PodmanLiving> {
        match self {
            Self::Podman(podman) => Some(podman),
            Self::Engine(_) | Self::Builder(_) | Self::Folders(_) => None,
        }
    }

    /// Who holds images.
    pub(super) fn holder(&self) -> Option<Holder<'_>> {
        match self {
            Self::Engine(engine) => Some(Holder::Engine(&engine.engine)),
            Self::Podman(podman) => Some(Holder::Podman(podman.podman())),
            Self::Builder(_) | Self::Folders(_) => None,
        }
    }

    /// The builder of ours, beside the engine or alone.
    pub(super) fn builder(&self) -> Option<&BuilderLiving> {
        match self {
            Self::Engine(engine) => engine.builder.as_ref(),
            Self::Builder(builder) => Some(builder),
            Self::Podman(_) | Self::Folders(_) => None,
        }
    }

    /// What of it has ended by itself, so that nothing is to be saved. Where an engine is, a builder that has ended
    /// loses its own cache alone.
    pub(super) fn dead(&mut self) -> Option<(&'static str, Exit)> {
        match self {
            Self::Engine(engine) => engine.engine.dead(),
            Self::Builder(builder) => Some(("buildkitd", builder.buildkitd.dead()?)),
            Self::Podman(_) | Self::Folders(_) => None,
        }
    }

    /// Ends it at once, so that whoever waits for it learns that it is broken. Whether it can be: only daemons can.
    pub(super) fn kill(&self) -> bool {
        if let Self::Engine(engine) = self {
            engine.engine.kill();
        }
        if let Some(builder) = self.builder() {
            builder.buildkitd.kill();
        }
        matches!(self, Self::Engine(_) | Self::Builder(_))
    }

    /// Resolves when it has ended by itself. Directories do not.
    pub(super) async fn end(&self) {
        match self {
            Self::Engine(engine) => engine.engine.end().await,
            Self::Builder(builder) => builder.buildkitd.end().await,
            Self::Podman(_) | Self::Folders(_) => std::future::pending().await,
        }
    }

    /// Leaves the volume, in order if that `is_wanted`.
    pub(super) async fn leave(self, volume: &Volume, is_wanted: bool, events: &Events) -> Left {
        let device = volume.opened().device;
        match self {
            Self::Engine(engine) => engine.leave(is_wanted).await,
            Self::Builder(builder) => builder.leave().await,
            Self::Podman(podman) => Left::because(podman.leave(device, is_wanted, events).await),
            Self::Folders(folders) => Left::because(folders.leave(device, is_wanted, events).await),
        }
    }

    /// Is taken away, whatever becomes of it.
    pub(super) async fn abandon(self) {
        match self {
            Self::Engine(engine) => engine.abandon().await,
            // It is killed.
            Self::Builder(builder) => drop(builder),
            Self::Podman(podman) => podman.abandon().await,
            Self::Folders(folders) => folders.abandon().await,
        }
    }
}

/// Those that still use a volume after its tenant has left: an engine's are ended, and those that do not end are
/// given back. Whoever looked into a directory is nobody's to end.
pub(super) async fn end_holders(volume: &Volume, are_ours: bool) -> Vec<Identity> {
    let device = volume.opened().device;
    blocking(move || {
        if are_ours {
            holders::end_holders(device, HOLDERS_LIMIT)
        } else {
            holders::holders(device)
        }
    })
    .await
}
