//! A `buildkitd` of ours, beside an engine or alone on a volume.

use std::ffi::OsString;
use std::os::unix::fs::lchown;
use std::path::PathBuf;
use std::time::Duration;

use larder_buildkit::{BuilderProgram, Buildkitd, BuildkitdConfig, Reach};
use larder_engine::{Shape, TakenOver};
use larder_model::version::Version;
use tokio::task::spawn_blocking;

use super::Left;
use super::buildx::Buildx;
use crate::background::blocking;
use crate::{Place, Result, SessionError, Settings, facts, machine};

/// Time for a daemon that is asked to end.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(30);
/// A builder's cache that nobody used for this long is dropped.
pub(in crate::background) const CACHE_UNUSED: Duration = Duration::from_secs(14 * 24 * 3600);
/// The version of Docker whose settings hold where there is no Docker: all that are known.
const ANY_DOCKER: Version = Version {
    major: u32::MAX,
    minor: 0,
    patch: 0,
};

/// What a builder is brought up with.
#[derive(Debug, Clone)]
pub(in crate::background) struct BuilderComing {
    pub program: BuilderProgram,
    is_alone: bool,
    /// What it may keep.
    keep_bytes: u64,
    reach: Reach,
    taken_over: TakenOver,
    environment: Vec<(OsString, OsString)>,
    oom_score: Option<String>,
    /// Where programs are looked for.
    path: Vec<PathBuf>,
    /// Where the docker command has its plugins.
    docker_folder: Option<PathBuf>,
    /// Who is to use it, if that is not root.
    person: Option<(u32, u32)>,
}

impl BuilderComing {
    /// One that is alone on the volume, and keeps all that may be kept.
    pub(super) async fn look(settings: &Settings, oom_score: Option<String>) -> Result<Self> {
        let set = blocking(machine::machine_settings).await?;
        let taken_over = TakenOver::new(&set, Shape::Takeover, ANY_DOCKER)?;
        let coming = Self::beside(settings, &taken_over, oom_score).await?;
        Ok(Self {
            is_alone: true,
            keep_bytes: settings.keep_bytes,
            ..coming
        })
    }

    /// One beside an engine that has these settings of the administrator's; each of the two may keep a half.
    pub(super) async fn beside(
        settings: &Settings,
        taken_over: &TakenOver,
        oom_score: Option<String>,
    ) -> Result<Self> {
        let path = settings.path.clone();
        let registries = &settings.project.registries;
        Ok(Self {
            program: blocking(move || machine::builder(&path)).await?,
            is_alone: false,
            keep_bytes: settings.keep_bytes / 2,
            reach: Reach {
                mirrors: registries.mirrors.clone(),
                insecure: registries.insecure.clone(),
            },
            taken_over: taken_over.clone(),
            environment: settings.engine_environment.clone(),
            oom_score,
            path: settings.path.clone(),
            docker_folder: settings.docker_folder.clone(),
            person: settings.person,
        })
    }

    /// What it is started with in the session of this place.
    pub(in crate::background) fn config(&self, place: &Place) -> BuildkitdConfig {
        BuildkitdConfig {
            program: self.program.clone(),
            volume: place.volume().mount,
            run_dir: place.run(),
            is_alone: self.is_alone,
            keep_bytes: self.keep_bytes,
            unused_for: CACHE_UNUSED,
            reach: self.reach.clone(),
            taken_over: self.taken_over.clone(),
            environment: self.environment.clone(),
            oom_score: self.oom_score.clone(),
        }
    }

    /// Waits until it answers, and has buildx know it meanwhile. Whatever comes of the second is told in a sentence:
    /// who has no buildx has `buildctl`.
    pub(in crate::background) async fn settle(
        &self,
        buildkitd: Buildkitd,
        place: &Place,
        limit: Duration,
    ) -> Result<BuilderLiving> {
        let buildx = Buildx {
            folder: place.buildx(),
            docker_folder: self.docker_folder.clone(),
            path: self.path.clone(),
        };
        let (socket, person) = (buildkitd.socket().to_owned(), self.person);
        let making = spawn_blocking(move || buildx.make(&socket, person));
        let mut living = BuilderLiving {
            buildkitd,
            buildx: None,
            note: None,
        };
        let (ready, made) = tokio::join!(living.buildkitd.ready(limit), making);
        match made.expect("making settings does not panic") {
            Ok(()) => living.buildx = Some(place.buildx()),
            Err(why) => {
                living.note = Some(format!(
                    "buildx does not know the builder: {why}; BUILDKIT_HOST names it"
                ));
            }
        }
        ready?;
        if let Some((user, _)) = self.person {
            // Its group is docker's, which a machine without an engine may not have.
            let socket = living.buildkitd.socket();
            let given = lchown(socket, Some(user), None);
            given.map_err(SessionError::path("cannot give to its user", socket))?;
        }
        Ok(living)
    }
}

/// A builder that was started.
pub(in crate::background) struct BuilderLiving {
    pub buildkitd: Buildkitd,
    /// The settings of buildx that know it.
    pub buildx: Option<PathBuf>,
    /// What is to be told of it.
    pub note: Option<String>,
}

impl BuilderLiving {
    pub(in crate::background) fn facts(&self) -> facts::Builder {
        facts::Builder {
            version: self.buildkitd.program().version.to_string(),
            socket: self.buildkitd.socket().to_owned(),
            buildx: self.buildx.clone(),
        }
    }

    pub(super) async fn leave(self) -> Left {
        let seen = self.buildkitd.stop(STOP_LIMIT).await;
        let doubt = (!seen.has_ended_well()).then(|| "the builder did not stop cleanly".to_owned());
        Left {
            builders: vec![seen],
            doubt,
        }
    }
}
