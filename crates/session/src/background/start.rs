//! Bringing a session up: what to start from, the volume, the engine.

use std::path::Path;
use std::sync::Arc;

use larder_bases::{Freshness, Known, Record};
use larder_docker::USUAL_SOCKET;
use larder_engine::program::{self, EngineProgram};
use larder_engine::{Choice, system};
use larder_local::clock::now_ms;
use larder_local::people::Voice as _;
use larder_model::limits::BLOCK_BYTES;
use larder_store::{Objects, Source, catalog};

use super::base_images::Planning;
use super::events::Events;
use super::parts::{Parts, Plan};
use super::restore::{self, Restorable};
use crate::facts::{self, Job, NotSaved, Restored, Timer};
use crate::{JobRequest, Place, Result, Settings};

/// A session that is up.
pub(crate) struct Live {
    pub(crate) settings: Settings,
    pub(crate) place: Place,
    /// The volume, the engine and what was done to the machine for them.
    pub(crate) parts: Parts,
    pub(crate) objects: Objects,
    /// Why nothing can be saved, as far as that is known from the start.
    pub(crate) cannot_save: Option<NotSaved>,
    /// The plans of the job's builds.
    pub(crate) planning: Planning,
    pub(crate) job: Job,
}

/// Starts a session. Trouble with the cache is a warning, and the session starts empty. The job that is
/// returned has only the warnings about the cache: with `--strict` these are failures.
pub(crate) async fn start(request: JobRequest, place: Place, events: &Events) -> Result<Live> {
    let JobRequest { settings, builds } = request;
    let mut timer = Timer::start();
    let (program, choice) = look(&settings).await?;
    let image_store = settings.image_store(&program);
    let compatibility = program.compatibility(image_store);
    let descent = &settings.project.descent;
    let (objects, cannot_save) = open_store(&settings, events);
    let ladder = descent.ladder(&compatibility);
    let found = restore::find(&objects, ladder, &program, events).await;
    timer.phase("find");
    let before = known_before(found.as_ref());
    let mut planning = Planning::begin(&settings.project, &objects, builds, before);
    let start = Start {
        plan: Plan {
            choice,
            program,
            image_store,
            environment: settings.engine_environment.clone(),
        },
        place: &place,
        settings: &settings,
        objects: &objects,
        events,
    };
    let (mut parts, restored) = start.bring_up(found, &mut timer).await?;
    let warnings = events.take_warnings();
    // An empty engine holds nothing that could have moved.
    let mut moved = Vec::new();
    if restored.is_some() && settings.project.freshness != Freshness::Never {
        moved = planning.compare(parts.engine(), events).await;
        timer.phase("fresh");
    }
    let engine = facts::Engine {
        socket: place.docker_socket(),
        facts: parts.engine().facts(),
        choice: start.plan.choice,
    };
    timer.phase("facts");
    let job = Job {
        store: settings.project.store.to_string(),
        lineage: descent.lineage(&compatibility),
        engine,
        volume: facts::Volume {
            bytes: parts.volume().bytes(),
            direct_io: parts.volume().opened().direct_io,
        },
        restored,
        saved: None,
        not_saved: None,
        moved,
        fetched: facts::Fetched::default(),
        phases: timer.into_phases(),
        warnings,
        command: None,
    };
    Ok(Live {
        settings,
        place,
        parts,
        objects,
        cannot_save,
        planning,
        job,
    })
}

/// What the restored snapshot's job knew of base images.
fn known_before(found: Option<&Restorable>) -> Vec<Known> {
    let record = found.and_then(|found| Record::from_value(found.found.document.plan.as_ref()?));
    record.map(|record| record.images).unwrap_or_default()
}

/// Looks at the programs and at the machine's engine, at the same time.
async fn look(settings: &Settings) -> Result<(EngineProgram, Choice)> {
    let path = settings.path.clone();
    let probe = tokio::task::spawn_blocking(move || program::probe(&path));
    let system = system::observe(Path::new(USUAL_SOCKET));
    let (program, system) = tokio::join!(probe, system);
    let program = program.expect("probing does not panic")?;
    let choice = system::choose(settings.engine, &system?)?;
    Ok((program, choice))
}

/// A store that cannot be opened is a miss, and nothing will be saved.
fn open_store(settings: &Settings, events: &Events) -> (Objects, Option<NotSaved>) {
    match settings.project.store.open() {
        Ok(objects) => (objects, None),
        Err(error) => {
            let why = format!("the store cannot be opened: {error}");
            events.warning(&format!("starting empty, {why}"));
            (Objects::nowhere(), Some(NotSaved::Because(why)))
        }
    }
}

/// What bringing up the volume and the engine needs.
struct Start<'a> {
    plan: Plan,
    place: &'a Place,
    settings: &'a Settings,
    objects: &'a Objects,
    events: &'a Events,
}

impl Start<'_> {
    /// Brings volume and engine up on the snapshot that was found; if that does not work, on an empty
    /// volume, with the same shape of engine.
    async fn bring_up(
        &self,
        found: Option<Restorable>,
        timer: &mut Timer,
    ) -> Result<(Parts, Option<Restored>)> {
        if let Some(found) = found {
            let restored = restored(&found);
            match Parts::bring_up(&self.plan, self.place, found.source, found.hot, timer).await {
                Ok(parts) => return Ok((parts, Some(restored))),
                Err(trouble) if trouble.spoils_any_volume => return Err(trouble.failure),
                Err(trouble) => {
                    let (id, why) = (restored.snapshot, trouble.failure.to_string());
                    self.events.warning(&format!(
                        "starting empty, snapshot {} cannot be used: {why}",
                        id.short()
                    ));
                    catalog::mark(self.objects, id, &why).await;
                    timer.phase("failed_restore");
                }
            }
        }
        let source = Source::empty(self.objects.clone(), self.settings.volume_bytes)?;
        let parts = Parts::bring_up(&self.plan, self.place, Arc::new(source), Vec::new(), timer);
        match parts.await {
            Ok(parts) => Ok((parts, None)),
            Err(trouble) => Err(trouble.failure),
        }
    }
}

fn restored(found: &Restorable) -> Restored {
    let snapshot = &found.found.document;
    Restored {
        snapshot: found.found.id,
        lineage: snapshot.lineage.clone(),
        age_ms: now_ms().saturating_sub(snapshot.created_ms),
        used_bytes: snapshot.statistics.used_blocks * BLOCK_BYTES as u64,
        sibling: snapshot.sibling,
    }
}
