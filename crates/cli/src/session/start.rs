//! Bringing a session up: what to start from, the volume, the engine.

use std::path::Path;
use std::sync::Arc;

use larder_engine::program::{self, EngineProgram};
use larder_engine::{Choice, system};
use larder_store::{Objects, Source};

use super::events::Events;
use super::facts::{self, Job, Restored, Timer, now_ms};
use super::fresh::Planning;
use super::parts::{Parts, Plan};
use super::place::Place;
use super::protocol::Event;
use super::restore::{self, Restorable};
use crate::exit::{Done, Failure};
use crate::plan::record::{Known, Record};
use crate::settings::{Fresh, Settings};

/// A session that is up.
pub struct Live {
    /// What was asked for.
    pub settings: Settings,
    /// Where its files are.
    pub place: Place,
    /// The volume, the engine and what was done to the machine for them.
    pub parts: Parts,
    /// The store.
    pub objects: Objects,
    /// Why nothing can be saved, as far as that is known from the start.
    pub cannot_save: Option<String>,
    /// The plans of the job's builds.
    pub planning: Planning,
    /// What is reported.
    pub job: Job,
}

/// Starts a session. Cache trouble is a warning, and the session starts empty.
pub async fn start(settings: Settings, place: Place, events: &Events) -> Done<Live> {
    let mut timer = Timer::start();
    let (program, choice) = look(&settings).await?;
    let image_store = settings.image_store(&program);
    let lineage = settings.lineage(&program.compatibility(image_store));
    let mut warnings = Vec::new();
    let (objects, cannot_save) = open_store(&settings, &mut warnings);
    let fallback = &settings.fallback;
    let found = restore::find(&objects, &lineage, fallback, &program, &mut warnings).await;
    timer.phase("find");
    let mut planning = Planning::begin(&settings, &objects, known_before(found.as_ref()));
    let plan = Plan {
        choice,
        program,
        image_store,
        environment: settings.engine_environment.clone(),
    };
    let (mut parts, restored) = bring_up(
        &plan,
        &place,
        &settings,
        &objects,
        found,
        &mut warnings,
        &mut timer,
    )
    .await?;
    for warning in &warnings {
        events.emit(&Event::Warning(warning.clone()));
    }
    // An empty engine holds nothing that could have moved.
    let mut moved = Vec::new();
    if restored.is_some() && settings.fresh != Fresh::Never {
        moved = planning.compare(parts.engine(), events).await;
        timer.phase("fresh");
    }
    let opened = parts.volume().opened();
    let engine = facts::Engine {
        socket: place.docker_socket(),
        facts: parts.engine_facts().await?,
        choice: plan.choice,
    };
    timer.phase("facts");
    let job = Job {
        store: settings.store.clone(),
        lineage,
        engine,
        volume: facts::Volume {
            bytes: parts.volume().bytes(),
            direct_io: opened.direct_io,
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

/// What the job that is continued knew of base images.
fn known_before(found: Option<&Restorable>) -> Vec<Known> {
    let record = found.and_then(|found| Record::of(&found.found.document));
    record.map(|record| record.images).unwrap_or_default()
}

/// Looks at the programs and at the machine's engine, at the same time.
async fn look(settings: &Settings) -> Done<(EngineProgram, Choice)> {
    let path = settings.path.clone();
    let probe = tokio::task::spawn_blocking(move || program::probe(&path));
    let system = system::observe(Path::new(system::USUAL_SOCKET));
    let (program, system) = tokio::join!(probe, system);
    let program = program.expect("probing does not panic")?;
    let choice = system::choose(settings.engine, &system?)?;
    Ok((program, choice))
}

/// A store that cannot be opened is a miss, and nothing will be saved.
fn open_store(settings: &Settings, warnings: &mut Vec<String>) -> (Objects, Option<String>) {
    match settings.open_store() {
        Ok(objects) => (objects, None),
        Err(failure) => {
            let why = format!("the store cannot be opened: {failure}");
            warnings.push(format!("starting empty, {why}"));
            (Objects::nowhere(), Some(why))
        }
    }
}

/// Brings volume and engine up on the snapshot that was found; if that does not work, on an empty
/// volume, with the same shape of engine.
async fn bring_up(
    plan: &Plan,
    place: &Place,
    settings: &Settings,
    objects: &Objects,
    found: Option<Restorable>,
    warnings: &mut Vec<String>,
    timer: &mut Timer,
) -> Done<(Parts, Option<Restored>)> {
    if let Some(found) = found {
        let restored = restored(&found);
        match Parts::bring_up(plan, place, found.source, found.hot, timer).await {
            Ok(parts) => return Ok((parts, Some(restored))),
            Err(trouble) if trouble.spoils_any_volume => return Err(trouble.failure),
            Err(trouble) => {
                let id = restored.snapshot;
                warnings.push(format!(
                    "starting empty, snapshot {} cannot be used: {}",
                    id.short(),
                    trouble.failure
                ));
                restore::mark(objects, id, &trouble.failure.message).await;
                timer.phase("failed_restore");
            }
        }
    }
    let source = Source::empty(objects.clone(), settings.volume_bytes).map_err(Failure::from)?;
    let parts = Parts::bring_up(plan, place, Arc::new(source), Vec::new(), timer).await;
    Ok((parts.map_err(|trouble| trouble.failure)?, None))
}

fn restored(found: &Restorable) -> Restored {
    let snapshot = &found.found.document;
    Restored {
        snapshot: found.found.id,
        lineage: snapshot.lineage.clone(),
        age_ms: now_ms().saturating_sub(snapshot.created_ms),
        used_bytes: snapshot.statistics.used_blocks * larder_model::limits::BLOCK_BYTES as u64,
    }
}
