//! The parts of a session: the room, the network, the volume, who lives on it, and the machine's engine
//! that was stopped for an engine of ours. They come up and go down in one order, also when something fails on the
//! way.

use std::fs::File;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use larder_buildkit::{Builders, Buildkitd};
use larder_docker::USUAL_SOCKET;
use larder_engine::collector::{self, Collector};
use larder_engine::network::{Forwards, HostNetwork, PrivateNet};
use larder_engine::takeover::Taken;
use larder_engine::{Engine, EngineConfig, EngineError, InRoom, Shape, cgroups};
use larder_local::people::Voice as _;
use larder_store::Source;
use larder_volume::attached::{self, Rights, View};
use larder_volume::{Fault, Prefetch, Room, Volume, VolumeError};
use rustix::process::Pid;

use super::blocking;
use super::course::Timer;
use super::events::Events;
use super::tenant::{
    self, BuilderComing, BuilderLiving, Coming, EngineComing, EngineLiving, FoldersComing,
    FoldersLiving, Found, Holder, Living, PodmanComing, PodmanLiving, end_holders,
};
use super::trouble;
use crate::leftovers::{Mounted, Record};
use crate::lock;
use crate::{Place, Result, SessionError};

/// Time for the engine to answer. A far store adds some fetches to its start, and many that start at once on
/// two cores take a minute.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// What is to be brought up.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub coming: Coming,
    pub prefetch: Prefetch,
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
    living: Option<Living>,
    /// A private engine's network.
    net: Option<PrivateNet>,
    warnings: Vec<String>,
}

/// Parts that have their place on the machine, or have failed to get it.
pub(super) struct Placed {
    parts: Parts,
    outcome: Result<()>,
}

impl Placed {
    /// What the parts need of the machine, whatever volume they get.
    pub(super) async fn prepare(coming: &Coming, record: &Record, place: &Place) -> Self {
        let mut parts = Parts::new(record, place);
        let coming = coming.clone();
        // A task of its own, because it waits for the machine without giving way.
        let preparing = tokio::spawn(async move {
            let outcome = parts.prepare(&coming).await;
            Self { parts, outcome }
        });
        preparing.await.expect("preparing does not panic")
    }

    /// Gives the place back.
    pub(super) async fn abandon(self) {
        self.parts.abandon().await;
    }
}

impl Parts {
    fn new(record: &Record, place: &Place) -> Self {
        Self {
            room: None,
            place: place.clone(),
            record: record.clone(),
            volume: None,
            living: None,
            net: None,
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
            up = parts.mount(plan, source, timer).await;
        }
        if up.is_ok() {
            up = parts.move_in(&plan.coming, timer).await;
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

    /// Makes the room, and for an engine either its own network or a place on the machine's: then the machine's
    /// engine is stopped. A builder alone takes nothing from the machine, whose network it uses.
    async fn prepare(&mut self, coming: &Coming) -> Result<()> {
        let shape = match coming {
            Coming::Engine(engine) => Some(engine.choice.shape),
            Coming::Builder(_) | Coming::Podman(_) | Coming::Folders(_) => None,
        };
        let private = shape == Some(Shape::Private);
        let room = Arc::new(Room::new(private)?);
        self.room = Some(Arc::clone(&room));
        if !matches!(coming, Coming::Folders(_)) {
            let groups = Path::new(cgroups::ROOT);
            self.warnings.extend(cgroups::make_room(groups));
        }
        match shape {
            Some(Shape::Private) => self.set_up_network(room).await,
            Some(Shape::Takeover) => self.take_over(),
            None => Ok(()),
        }
    }

    async fn set_up_network(&mut self, room: Arc<Room>) -> Result<()> {
        let (id, run) = (self.place.id.clone(), self.place.run());
        let thread = thread_of(&room);
        let planned = blocking(move || {
            let lock = lock::network();
            PrivateNet::plan(&id).map(|net| (net, id, lock))
        })
        .await;
        let (net, id, lock) = planned?;
        self.record.shape = Some(Shape::Private);
        self.record.write(&self.place)?;
        let settled = blocking(move || {
            net.set_up(&id, thread)?;
            drop(lock);
            let entering = net.clone();
            let warning = room.run(move || entering.enter(&run))?;
            Ok::<_, EngineError>((net, warning))
        })
        .await;
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

    async fn mount(&mut self, plan: &Plan, source: Arc<Source>, timer: &mut Timer) -> Result<()> {
        let options = self.place.volume();
        let room = Arc::clone(self.room());
        let volume = Volume::open(options.clone(), room, source, plan.prefetch).await?;
        let opened = volume.opened();
        self.record.device = Some(opened.device);
        self.record.connection = Some(opened.connection);
        self.volume = Some(volume);
        self.record.write(&self.place)?;
        timer.phase("volume");
        Ok(())
    }

    async fn move_in(&mut self, coming: &Coming, timer: &mut Timer) -> Result<()> {
        match coming {
            Coming::Engine(engine) => {
                self.start(engine).await?;
                timer.phase("engine");
            }
            Coming::Builder(builder) => {
                let builder = self.start_builder(builder).await?;
                self.living = Some(Living::Builder(Box::new(builder)));
                self.volume().note_start();
                timer.phase("builder");
            }
            Coming::Podman(podman) => {
                self.house(podman).await?;
                timer.phase("podman");
            }
            Coming::Folders(folders) => {
                self.show(folders).await?;
                timer.phase("folders");
            }
        }
        let builder = self.living().builder();
        let note = builder.and_then(|builder| builder.note.clone());
        self.warnings.extend(note);
        Ok(())
    }

    async fn start(&mut self, coming: &EngineComing) -> Result<()> {
        let config = EngineConfig {
            program: coming.program.clone(),
            image_store: coming.image_store,
            volume: self.place.volume().mount,
            run_dir: self.place.run(),
            usual_socket: self.record.usual_socket.clone(),
            taken_over: coming.taken_over.clone(),
            host_gateway: self.net.as_ref().map(PrivateNet::host_address),
            oom_score: coming.oom_score.clone(),
            environment: coming.environment.clone(),
        };
        let engine = self.in_room(move || Engine::spawn(&config)).await?;
        let mut living = EngineLiving::new(engine);
        let (answer, beside) = tokio::join!(living.engine.ready(READY_LIMIT), async {
            match &coming.builder {
                Some(builder) => self.start_builder(builder).await.map(Some),
                None => Ok(None),
            }
        });
        let started = answer.map_err(SessionError::from).and(beside);
        let ready = started.map(|builder| living.builder = builder);
        if ready.is_ok() {
            self.volume().note_start();
            living.builders = self.watch_builders(&living.engine).await;
            living.forwards = self.forward(&living.engine).await;
        }
        self.living = Some(Living::Engine(Box::new(living)));
        ready
    }

    async fn start_builder(&self, coming: &BuilderComing) -> Result<BuilderLiving> {
        let config = coming.config(&self.place);
        let buildkitd = self.in_room(move || Buildkitd::spawn(&config)).await?;
        coming.settle(buildkitd, &self.place, READY_LIMIT).await
    }

    /// Mounts the directories where all of the machine sees them.
    async fn show(&mut self, coming: &FoldersComing) -> Result<()> {
        for site in coming.sites.clone() {
            let (volume, place) = (self.place.volume().mount, site.place.clone());
            let open = site.open()?;
            let folder = self.in_room(move || site.settle(&volume)).await?;
            self.put(place, folder, open, View::plain(Rights::Taken))
                .await?;
        }
        self.volume().note_start();
        Ok(())
    }

    /// Gives podman its storage, and asks it whether it takes that.
    async fn house(&mut self, coming: &PodmanComing) -> Result<()> {
        let volume = self.mount_point();
        self.in_room(move || larder_podman::admit(&volume)).await?;
        coming.write()?;
        for placed in coming.places() {
            let (place, folder) = (placed.place.clone(), placed.on_volume.to_owned());
            let (volume, view) = (self.mount_point(), coming.view(&placed));
            let open = coming.open(&placed)?;
            self.in_room(move || tenant::settle(&volume, &placed))
                .await?;
            self.put(place, folder, open, view).await?;
        }
        let podman = coming.podman();
        let asked = podman.clone();
        let found = blocking(move || Found::look(&asked)).await?;
        self.volume().note_start();
        let mounted = self.record.mounted.clone();
        let (folders, run) = (FoldersLiving { mounted }, self.place.run());
        let living = PodmanLiving::new(podman, folders, run, found);
        self.living = Some(Living::Podman(Box::new(living)));
        Ok(())
    }

    /// Mounts a directory of the volume where all of the machine sees it.
    async fn put(&mut self, place: PathBuf, folder: PathBuf, open: File, view: View) -> Result<()> {
        let before = attached::mounts_at(&place);
        let before = before.map_err(SessionError::path("list the mounts at", &place))?;
        self.record.mounted.push(Mounted { place, before });
        self.record.write(&self.place)?;
        let mounted = self.record.mounted.clone();
        self.living = Some(Living::Folders(FoldersLiving { mounted }));
        Ok(self.volume().attach(folder, open, view).await?)
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

    async fn watch_builders(&self, engine: &Engine) -> Option<Builders> {
        let mount = self.place.volume().mount;
        match self.in_room(move || Builders::open(&mount)).await {
            Ok(volume) => Some(Builders::watch(volume, engine.remote()).await),
            Err(error) => {
                tracing::warn!(%error, "no builder is remembered");
                None
            }
        }
    }

    /// Joins a private engine's localhost and the host's.
    async fn forward(&self, engine: &Engine) -> Option<Forwards> {
        let net = self.net.clone()?;
        let (thread, in_room) = (thread_of(self.room()), self.runner());
        Some(net.forward(thread, in_room, engine.remote()).await)
    }

    /// Runs jobs on the room's thread as long as there is one, and does not keep it.
    pub(super) fn runner(&self) -> InRoom {
        let room = Arc::downgrade(self.room());
        Arc::new(move |job| {
            if let Some(room) = room.upgrade() {
                room.run(job);
            }
        })
    }

    /// Who drops what an engine need not keep; from now on it hears which images are used.
    pub(super) async fn collector(&mut self) -> Option<Collector> {
        let (in_room, volume) = (self.runner(), self.place.volume().mount);
        let engine = self.engine()?;
        Some(Collector::start(engine.remote(), in_room, volume).await)
    }

    /// Says what went wrong beside the engine since the last call.
    pub(super) fn tell_warnings(&mut self, events: &Events) {
        let living = self.living.as_mut().and_then(Living::engine);
        let forwards = living.and_then(|engine| engine.forwards.as_mut());
        let late = forwards.into_iter().flat_map(Forwards::warnings);
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
        blocking(move || room.run(job)).await
    }

    pub(super) fn volume(&self) -> &Volume {
        self.volume.as_ref().expect("it is open until it is taken")
    }

    /// Where it is mounted in the room.
    pub(super) fn mount_point(&self) -> PathBuf {
        self.place.volume().mount
    }

    /// From now on stores what the job has written while it runs.
    pub(super) fn store_early(&mut self) {
        let volume = self.volume.as_mut();
        volume.expect("it is open until it is taken").store_early();
    }

    pub(super) fn take_volume(&mut self) -> Volume {
        self.volume.take().expect("it is taken once")
    }

    /// The engine, if it is one that lives on the volume.
    pub(super) fn engine(&mut self) -> Option<&mut Engine> {
        self.living().engine().map(|engine| &mut engine.engine)
    }

    /// Who lives on the volume.
    pub(super) fn living(&mut self) -> &mut Living {
        self.living.as_mut().expect("it is there until it is taken")
    }

    /// Podman's storage, if that is on the volume.
    pub(super) fn podman(&self) -> Option<&PodmanLiving> {
        self.living.as_ref()?.podman()
    }

    /// Who holds images on the volume.
    pub(super) fn holder(&self) -> Option<Holder<'_>> {
        self.living.as_ref()?.holder()
    }

    /// Resolves when who lives on the volume has ended by itself.
    pub(super) async fn end(&self) {
        let living = self.living.as_ref();
        living.expect("it is there until it is taken").end().await;
    }

    /// Who lives on the volume, to leave it.
    pub(super) fn take_living(&mut self) -> Living {
        self.living.take().expect("it is taken once")
    }

    /// Gives the machine back what was taken from it. The engine and the volume are gone by now.
    pub(super) async fn give_back(&mut self) -> Result<()> {
        self.room = None;
        let (record, place) = (self.record.clone(), self.place.clone());
        Ok(blocking(move || record.give_back(&place)).await?)
    }

    /// Takes down what is up, to save nothing.
    pub(super) async fn abandon(mut self) {
        let mut are_ours = true;
        if let Some(living) = self.living.take() {
            are_ours = matches!(living, Living::Engine(_) | Living::Builder(_));
            living.abandon().await;
        }
        if let Some(volume) = self.volume.take() {
            let stuck = end_holders(&volume, are_ours).await;
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
