//! The parts of a session: the room, the network, the volume, the engine, and the machine's engine
//! that was stopped for it. They come up and go down in one order, also when something fails on the
//! way.

use std::ffi::OsString;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use larder_docker::{ImageStore, USUAL_SOCKET};
use larder_engine::builders::{Builders, Seen};
use larder_engine::collector::{self, Collector};
use larder_engine::network::{Forwards, HostNetwork, PrivateNet};
use larder_engine::process::Identity;
use larder_engine::program::EngineProgram;
use larder_engine::takeover::Taken;
use larder_engine::{
    Choice, Engine, EngineConfig, EngineError, InRoom, Shape, TakenOver, cgroups, holders,
};
use larder_local::people::Voice as _;
use larder_store::Source;
use larder_volume::{Fault, Prefetch, Room, Volume, VolumeError};
use rustix::process::Pid;
use tokio::task::spawn_blocking;

use super::events::Events;
use super::trouble;
use crate::facts::Timer;
use crate::leftovers::Record;
use crate::lock;
use crate::{Place, Result, SessionError};

/// Time for the engine to answer. A far store adds some fetches to its start, and many that start at once on
/// two cores take a minute.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// Time for processes that use the volume to end.
const HOLDERS_LIMIT: Duration = Duration::from_secs(10);

/// What is to be brought up.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub choice: Choice,
    pub program: EngineProgram,
    pub image_store: ImageStore,
    pub prefetch: Prefetch,
    /// What it has of the administrator's settings.
    pub taken_over: TakenOver,
    /// The environment of its processes.
    pub environment: Vec<(OsString, OsString)>,
    /// Their OOM score.
    pub oom_score: Option<String>,
    /// The record of a session that has done nothing yet.
    pub record: Record,
}

/// Why the parts could not be brought up.
pub(super) struct Trouble {
    pub failure: SessionError,
    /// Whether it would have happened with any other volume too.
    pub spoils_any_volume: bool,
    /// What went wrong with the volume before that.
    pub fault: Option<Fault>,
    /// Whether there is no room on the volume.
    pub is_full: bool,
}

/// What is up. Fields that are taken are `None` only while going down.
pub(super) struct Parts {
    room: Option<Arc<Room>>,
    place: Place,
    record: Record,
    volume: Option<Volume>,
    engine: Option<Engine>,
    /// The builders that buildx makes in containers of the engine.
    builders: Option<Builders>,
    /// A private engine's network.
    net: Option<PrivateNet>,
    forwards: Option<Forwards>,
    warnings: Vec<String>,
}

/// Parts that have their place on the machine, or have failed to get it.
pub(super) struct Placed {
    parts: Parts,
    outcome: Result<()>,
}

impl Placed {
    /// What the parts need of the machine, whatever volume they get.
    pub(super) async fn prepare(plan: &Plan, place: &Place) -> Self {
        let mut parts = Parts::new(plan, place);
        let shape = plan.choice.shape;
        // A task of its own, because it waits for the machine without giving way.
        let preparing = tokio::spawn(async move {
            let outcome = parts.prepare(shape).await;
            Self { parts, outcome }
        });
        preparing.await.expect("preparing does not panic")
    }
}

impl Parts {
    fn new(plan: &Plan, place: &Place) -> Self {
        Self {
            room: None,
            place: place.clone(),
            record: plan.record.clone(),
            volume: None,
            engine: None,
            builders: None,
            net: None,
            forwards: None,
            warnings: Vec::new(),
        }
    }

    /// Brings everything up, or nothing.
    pub(super) async fn bring_up(
        placed: Placed,
        plan: &Plan,
        source: Arc<Source>,
        timer: &mut Timer,
    ) -> Result<Self, Trouble> {
        let objects = source.objects().clone();
        let Placed {
            mut parts,
            outcome: mut up,
        } = placed;
        let spoils_any_volume = up.is_err();
        if up.is_ok() {
            up = parts.mount_and_start(plan, source, timer).await;
        }
        let Err(failure) = up else { return Ok(parts) };
        let met = parts.volume.as_ref().and_then(Volume::fault);
        let fault = match &failure {
            SessionError::Volume(VolumeError::Fault(fault)) => Some(fault.clone()),
            _ => met,
        };
        let is_full = parts.is_full().await;
        // What still reads need not wait.
        objects.patience().set(trouble::LEAVING);
        parts.abandon().await;
        Err(Trouble {
            failure: match &fault {
                Some(fault) => VolumeError::Fault(fault.clone()).into(),
                None => failure,
            },
            spoils_any_volume,
            fault,
            is_full,
        })
    }

    /// Makes the room, and either its own network or a place on the machine's: then the machine's engine is
    /// stopped.
    async fn prepare(&mut self, shape: Shape) -> Result<()> {
        let private = shape == Shape::Private;
        let room = Arc::new(Room::new(private)?);
        self.room = Some(Arc::clone(&room));
        let groups = Path::new(cgroups::ROOT);
        self.warnings.extend(cgroups::make_room(groups));
        if private {
            self.set_up_network(room).await
        } else {
            self.take_over()
        }
    }

    async fn set_up_network(&mut self, room: Arc<Room>) -> Result<()> {
        let (id, run) = (self.place.id.clone(), self.place.run());
        let thread = thread_of(&room);
        let planning = spawn_blocking(move || {
            let lock = lock::network();
            PrivateNet::plan(&id).map(|net| (net, id, lock))
        });
        let planned = planning
            .await
            .expect("looking at the network does not panic");
        let (net, id, lock) = planned?;
        self.record.shape = Some(Shape::Private);
        self.record.write(&self.place)?;
        let settled = spawn_blocking(move || {
            net.set_up(&id, thread)?;
            drop(lock);
            let entering = net.clone();
            let warning = room.run(move || entering.enter(&run))?;
            Ok::<_, EngineError>((net, warning))
        });
        let settled = settled
            .await
            .expect("setting up the network does not panic");
        let (net, warning) = settled?;
        self.net = Some(net);
        self.warnings.extend(warning);
        Ok(())
    }

    fn take_over(&mut self) -> Result<()> {
        let taken = Taken::observe()?;
        if taken.is_nothing() {
            let _lock = lock::network();
            self.record.network = Some(HostNetwork::observe()?);
        }
        self.record.shape = Some(Shape::Takeover);
        self.record.taken = Some(taken);
        self.record.usual_socket = Some(PathBuf::from(USUAL_SOCKET));
        self.record.write(&self.place)?;
        Ok(taken.stop()?)
    }

    async fn mount_and_start(
        &mut self,
        plan: &Plan,
        source: Arc<Source>,
        timer: &mut Timer,
    ) -> Result<()> {
        let options = self.place.volume();
        let room = Arc::clone(self.room());
        let volume = Volume::open(options.clone(), room, source, plan.prefetch).await?;
        let opened = volume.opened();
        self.record.device = Some(opened.device);
        self.record.connection = Some(opened.connection);
        self.volume = Some(volume);
        self.record.write(&self.place)?;
        timer.phase("volume");
        let config = EngineConfig {
            program: plan.program.clone(),
            image_store: plan.image_store,
            volume: options.mount,
            run_dir: self.place.run(),
            usual_socket: self.record.usual_socket.clone(),
            taken_over: plan.taken_over.clone(),
            host_gateway: self.net.as_ref().map(PrivateNet::host_address),
            oom_score: plan.oom_score.clone(),
            environment: plan.environment.clone(),
        };
        self.engine = Some(self.in_room(move || Engine::spawn(&config)).await?);
        self.engine().ready(READY_LIMIT).await?;
        self.volume().note_start();
        self.watch_builders().await;
        self.forward().await;
        timer.phase("engine");
        Ok(())
    }

    /// Whether the volume is mounted, and has no room.
    async fn is_full(&self) -> bool {
        if self.volume.is_none() {
            return false;
        }
        let mount = self.place.volume().mount;
        let space = self.in_room(move || collector::space(&mount)).await;
        space.is_ok_and(|space| space.is_full())
    }

    async fn watch_builders(&mut self) {
        let mount = self.place.volume().mount;
        match self.in_room(move || Builders::open(&mount)).await {
            Ok(volume) => {
                let watching = Builders::watch(volume, self.engine().remote());
                self.builders = Some(watching.await);
            }
            Err(error) => tracing::warn!(%error, "no builder is remembered"),
        }
    }

    /// Joins a private engine's localhost and the host's.
    async fn forward(&mut self) {
        let Some(net) = self.net.clone() else { return };
        let (thread, in_room) = (thread_of(self.room()), self.runner());
        let forwards = net.forward(thread, in_room, self.engine().remote());
        self.forwards = Some(forwards.await);
    }

    /// Runs jobs on the room's thread as long as there is one, and does not keep it.
    fn runner(&self) -> InRoom {
        let room = Arc::downgrade(self.room());
        Arc::new(move |job| {
            if let Some(room) = room.upgrade() {
                room.run(job);
            }
        })
    }

    /// Who drops what the engine need not keep; from now on it hears which images are used.
    pub(super) async fn collector(&mut self) -> Collector {
        let (in_room, volume) = (self.runner(), self.place.volume().mount);
        Collector::start(self.engine().remote(), in_room, volume).await
    }

    /// Says what went wrong beside the engine since the last call.
    pub(super) fn tell_warnings(&mut self, events: &Events) {
        let late = self.forwards.iter_mut().flat_map(Forwards::warnings);
        for warning in mem::take(&mut self.warnings).into_iter().chain(late) {
            events.warning(&warning);
        }
    }

    fn room(&self) -> &Arc<Room> {
        let room = self.room.as_ref();
        room.expect("it is there until the parts go down")
    }

    /// Runs a job on the room's thread.
    pub(super) async fn in_room<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let room = Arc::clone(self.room());
        let ran = spawn_blocking(move || room.run(job)).await;
        ran.expect("a job in the room does not panic")
    }

    pub(super) fn volume(&self) -> &Volume {
        self.volume.as_ref().expect("it is open until it is taken")
    }

    /// From now on stores what the job has written while it runs.
    pub(super) fn store_early(&mut self) {
        let volume = self.volume.as_mut();
        volume.expect("it is open until it is taken").store_early();
    }

    pub(super) fn take_volume(&mut self) -> Volume {
        self.volume.take().expect("it is taken once")
    }

    pub(super) fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("it runs until it is taken")
    }

    /// Resolves when one of the engine's daemons has ended.
    pub(super) async fn engine_ends(&self) {
        let engine = self.engine.as_ref();
        engine.expect("it runs until it is taken").end().await;
    }

    /// The builders that there were, the last of whose events may take `patience`.
    pub(super) async fn take_builders(&mut self, patience: Duration) -> Vec<Seen> {
        match self.builders.take() {
            Some(builders) => builders.end(patience).await,
            None => Vec::new(),
        }
    }

    /// The engine, to be ended. Nobody comes through to it any more.
    pub(super) fn take_engine(&mut self) -> Engine {
        self.forwards = None;
        self.engine.take().expect("it is taken once")
    }

    /// Gives the machine back what was taken from it. The engine and the volume are gone by now.
    pub(super) async fn give_back(&mut self) -> Result<()> {
        self.room = None;
        let (record, place) = (self.record.clone(), self.place.clone());
        let given = spawn_blocking(move || record.give_back(&place));
        Ok(given.await.expect("giving back does not panic")?)
    }

    /// Takes down what is up, to save nothing.
    pub(super) async fn abandon(mut self) {
        self.forwards = None;
        self.take_builders(Duration::ZERO).await;
        drop(self.engine.take());
        if let Some(volume) = self.volume.take() {
            let stuck = end_holders(&volume).await;
            if !stuck.is_empty() {
                tracing::warn!(?stuck, "these processes hold the volume");
            }
            if let Err(error) = volume.close().await {
                tracing::info!(%error, "closing a volume that is not saved");
            }
        }
        if let Err(failure) = self.give_back().await {
            tracing::warn!(%failure, "not all was given back");
        }
    }
}

fn thread_of(room: &Room) -> Pid {
    Pid::from_raw(room.thread_id()).expect("a thread id is not zero")
}

/// Ends the processes that still use a volume; gives back those that do not end.
pub(super) async fn end_holders(volume: &Volume) -> Vec<Identity> {
    let device = volume.opened().device;
    let ended = spawn_blocking(move || holders::end_holders(device, HOLDERS_LIMIT));
    ended.await.expect("ending processes does not panic")
}
