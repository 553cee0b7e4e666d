//! A Docker engine of ours on a volume.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use larder_buildkit::{Builders, Seen};
use larder_docker::{ImageStore, USUAL_SOCKET};
use larder_engine::network::Forwards;
use larder_engine::program::EngineProgram;
use larder_engine::system::{self, SystemEngine};
use larder_engine::{Asked, Choice, Engine, Shape, TakenOver};
use larder_local::people::Voice as _;

use super::builder::{BuilderComing, BuilderLiving, STOP_LIMIT};
use super::{Continues, Left};
use crate::background::blocking;
use crate::background::events::Events;
use crate::background::turn::Turn;
use crate::lock::One;
use crate::{Place, Result, Settings, machine};

/// Time for what the engine tells of containers that have ended.
const EVENTS_LIMIT: Duration = Duration::from_secs(2);

/// What an engine is brought up with.
#[derive(Debug, Clone)]
pub(in crate::background) struct EngineComing {
    pub choice: Choice,
    pub program: EngineProgram,
    pub image_store: ImageStore,
    /// What it has of the administrator's settings.
    pub taken_over: TakenOver,
    /// The environment of its processes.
    pub environment: Vec<(OsString, OsString)>,
    /// Their OOM score.
    pub oom_score: Option<String>,
    /// What is beside it, if that is wanted.
    pub builder: Option<BuilderComing>,
}

impl EngineComing {
    /// Tells which volumes it can continue, and looks at the machine's engine.
    pub(super) async fn look(
        settings: &Settings,
        place: &Place,
        (program, oom_score): (EngineProgram, Option<String>),
        tell: impl FnOnce(Continues),
        events: &Events,
    ) -> Result<(Self, Option<Turn>)> {
        let image_store = settings.image_store(&program);
        tell(Continues::engine(&program, image_store));
        let (asked, place) = (settings.engine, place.clone());
        // A task of its own, because it waits for the machine without giving way.
        let choosing = tokio::spawn(async move { choose(asked, &place).await });
        let (set, chosen) = tokio::join!(blocking(machine::machine_settings), choosing);
        let set = set?;
        let (choice, turn) = chosen.expect("choosing does not panic")?;
        let taken_over = TakenOver::new(&set, choice.shape, program.version)?;
        if let Some(note) = taken_over.note() {
            events.note(&note);
        }
        let builder = if settings.builder {
            Some(BuilderComing::beside(settings, &taken_over, oom_score.clone()).await?)
        } else {
            None
        };
        let coming = Self {
            choice,
            image_store,
            program,
            taken_over,
            environment: settings.engine_environment.clone(),
            oom_score,
            builder,
        };
        Ok((coming, turn))
    }
}

async fn choose(asked: Asked, place: &Place) -> Result<(Choice, Option<Turn>)> {
    let turn = match asked {
        Asked::Private => None,
        Asked::Auto | Asked::Takeover => {
            let place = place.clone();
            blocking(move || Turn::take(One::Engine, &place)).await?
        }
    };
    let system = match &turn {
        Some(_) => system::observe(Path::new(USUAL_SOCKET)).await?,
        None => SystemEngine::Taken,
    };
    let choice = system::choose(asked, &system)?;
    match (turn, choice.shape) {
        (Some(turn), Shape::Private) => turn.end().map(|()| (choice, None)),
        (Some(mut turn), Shape::Takeover) => {
            turn.stand(place)?;
            Ok((choice, Some(turn)))
        }
        (None, _) => Ok((choice, None)),
    }
}

/// An engine that was started.
pub(in crate::background) struct EngineLiving {
    pub engine: Engine,
    /// What is beside it.
    pub builder: Option<BuilderLiving>,
    /// The builders that buildx makes in containers of the engine.
    pub builders: Option<Builders>,
    /// How others come through to a private one.
    pub forwards: Option<Forwards>,
}

impl EngineLiving {
    pub(in crate::background) fn new(engine: Engine) -> Self {
        Self {
            engine,
            builder: None,
            builders: None,
            forwards: None,
        }
    }

    /// The builders that there were, the last of whose events may take `patience`.
    async fn take_builders(&mut self, patience: Duration) -> Vec<Seen> {
        match self.builders.take() {
            Some(builders) => builders.end(patience).await,
            None => Vec::new(),
        }
    }

    pub(super) async fn leave(mut self, is_wanted: bool) -> Left {
        let patience = if is_wanted {
            EVENTS_LIMIT
        } else {
            Duration::ZERO
        };
        let mut builders = self.take_builders(patience).await;
        // Nobody comes through to it any more.
        self.forwards = None;
        let builder = self.builder.take();
        let (stopped, seen) = tokio::join!(self.engine.stop(STOP_LIMIT), async {
            Some(builder?.buildkitd.stop(STOP_LIMIT).await)
        });
        builders.extend(seen);
        let doubt = (!stopped.is_clean()).then(|| {
            format!(
                "the engine did not stop cleanly (dockerd: {:?}, containerd: {:?})",
                stopped.dockerd, stopped.containerd
            )
        });
        Left { builders, doubt }
    }

    pub(super) async fn abandon(mut self) {
        self.forwards = None;
        self.take_builders(Duration::ZERO).await;
    }
}
