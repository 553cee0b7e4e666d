//! Bringing a session up: what to start from, the volume, the engine.

use std::path::Path;
use std::sync::Arc;

use larder_bases::{Freshness, Known, Record};
use larder_docker::USUAL_SOCKET;
use larder_engine::program::EngineProgram;
use larder_engine::system::{self, SystemEngine};
use larder_engine::{Asked, Choice, Shape, TakenOver};
use larder_local::clock::{now_ms, uptime_ms};
use larder_local::people::Voice as _;
use larder_model::limits::BLOCK_BYTES;
use larder_model::lineage::Lineage;
use larder_store::catalog::Reader;
use larder_store::{Objects, Source};

use super::base_images::Planning;
use super::events::Events;
use super::parts::{Parts, Plan};
use super::restore::{self, Restorable, Search};
use super::trouble;
use super::turn::Turn;
use super::upkeep::Upkeep;
use super::verdict::Verdict;
use crate::facts::{self, Job, NotSaved, Restored, Timer};
use crate::leftovers;
use crate::{JobRequest, Place, Result, Settings, machine};

/// A session that is up.
pub(crate) struct Live {
    pub(crate) settings: Settings,
    pub(crate) place: Place,
    /// The volume, the engine and what was done to the machine for them.
    pub(crate) parts: Parts,
    pub(crate) objects: Objects,
    /// What keeps the volume below its bound.
    pub(crate) upkeep: Arc<Upkeep>,
    /// Why nothing can be saved, as far as that is known from the start.
    pub(crate) cannot_save: Option<NotSaved>,
    /// The plans of the job's builds.
    pub(crate) planning: Planning,
    /// For an engine in the machine's place.
    pub(crate) turn: Option<Turn>,
    pub(crate) job: Job,
}

/// A background process that has its state directory, before it does anything else.
pub(crate) struct Begun {
    pub(crate) request: JobRequest,
    pub(crate) place: Place,
    pub(crate) record: leftovers::Record,
    /// The `oom_score_adj` that this process had, which its engine is to have.
    pub(crate) oom_score: Option<String>,
}

/// Starts a session. Trouble with the cache is a warning, and the session starts empty. The job that is
/// returned has only the warnings about the cache: with `--strict` these are failures.
pub(crate) async fn start(begun: Begun, events: &Events) -> Result<Live> {
    let (place, JobRequest { settings, builds }) = (begun.place, begun.request);
    let mut timer = Timer::start();
    let (objects, cannot_save) = open_store(&settings, events);
    let looked = look(&settings, &place, events).await?;
    let program = looked.program;
    let image_store = settings.image_store(&program);
    let compatibility = program.compatibility(image_store);
    let reader = settings.project.reader();
    let searched = search(&settings, &objects, &reader, &program, events).await;
    let Search { found, trouble } = searched;
    timer.phase("find");
    let known = known_before(found.as_ref());
    let mut planning = Planning::begin(&settings.project, &objects, builds, known);
    let start = Start {
        plan: Plan {
            choice: looked.choice,
            program,
            image_store,
            prefetch: settings.prefetch(objects.is_near()),
            taken_over: looked.taken_over,
            environment: settings.engine_environment.clone(),
            oom_score: begun.oom_score,
            record: begun.record,
        },
        place: &place,
        settings: &settings,
        objects: &objects,
        reader,
        events,
    };
    let coming = Box::pin(start.bring_up(found, trouble, &mut timer));
    let Up {
        mut parts,
        restored,
        trouble,
    } = trouble::telling(&objects, events, coming).await?;
    let cannot_save = cannot_save.or(trouble.map(not_for_others));
    if cannot_save.is_none() && settings.stores_early(objects.is_near()) {
        parts.store_early();
    }
    let warnings = events.take_warnings();
    parts.tell_warnings(events);
    let upkeep = Upkeep::begin(&mut parts, &settings, events, &mut timer).await;
    // An empty engine holds nothing that could have moved.
    let mut moved = Vec::new();
    if restored.is_some() && settings.project.freshness != Freshness::Never {
        moved = planning.compare(parts.engine(), events).await;
        timer.phase("fresh");
    }
    let up = start.up(&mut parts, settings.project.descent.lineage(&compatibility));
    timer.phase("facts");
    Ok(Live {
        settings,
        place,
        parts,
        objects,
        upkeep: Arc::new(upkeep),
        cannot_save,
        planning,
        turn: looked.turn,
        job: Job {
            restored,
            moved,
            phases: timer.into_phases(),
            warnings,
            ..up
        },
    })
}

/// Looks for the snapshot to start from.
async fn search(
    settings: &Settings,
    objects: &Objects,
    reader: &Reader,
    program: &EngineProgram,
    events: &Events,
) -> Search {
    if let Some(lost) = &settings.instead_of {
        return Search::instead_of(lost);
    }
    objects.patience().set(trouble::FINDING);
    let compatibility = program.compatibility(settings.image_store(program));
    let ladder = settings.project.descent.ladder(&compatibility);
    restore::find(objects, ladder, reader, program, events).await
}

/// What the restored snapshot's job knew of base images.
fn known_before(found: Option<&Restorable>) -> Vec<Known> {
    let record = found.and_then(|found| Record::from_value(found.found.document.plan.as_ref()?));
    record.map(|record| record.images).unwrap_or_default()
}

/// What was found of the programs and the machine.
struct Looked {
    program: EngineProgram,
    choice: Choice,
    /// For an engine that is to take the machine's place.
    turn: Option<Turn>,
    taken_over: TakenOver,
}

/// Looks at the programs and at the machine's engine, at the same time.
async fn look(settings: &Settings, place: &Place, events: &Events) -> Result<Looked> {
    let path = settings.path.clone();
    let probe = tokio::task::spawn_blocking(move || machine::engine(&path));
    let set = tokio::task::spawn_blocking(machine::settings);
    let chosen = choose(settings.engine, place);
    let (program, set, chosen) = tokio::join!(probe, set, chosen);
    let program = program.expect("probing does not panic")?;
    let set = set.expect("reading does not panic")?;
    let (choice, turn) = chosen?;
    let taken_over = TakenOver::new(&set, choice.shape, program.version)?;
    if let Some(note) = taken_over.note() {
        events.note(&note);
    }
    Ok(Looked {
        program,
        choice,
        turn,
        taken_over,
    })
}

async fn choose(asked: Asked, place: &Place) -> Result<(Choice, Option<Turn>)> {
    let turn = match asked {
        Asked::Private => None,
        Asked::Auto | Asked::Takeover => {
            let place = place.clone();
            let taking = tokio::task::spawn_blocking(move || Turn::take(&place));
            taking.await.expect("taking the turn does not panic")?
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

/// A store that cannot be opened is a miss, and nothing will be saved.
fn open_store(settings: &Settings, events: &Events) -> (Objects, Option<NotSaved>) {
    match settings.project.store.open() {
        Ok(objects) => {
            if let Some(why) = objects.near_trouble() {
                events.warning(&why);
            }
            let connecting = objects.clone();
            // Nobody waits for it: a store that does not answer is met, and told, by what is asked of it next.
            drop(tokio::spawn(async move { connecting.connect().await }));
            (objects, None)
        }
        Err(error) => {
            let why = format!("the store cannot be opened: {error}");
            events.warning(&format!("starting empty, {why}"));
            (Objects::nowhere(), Some(NotSaved::Because(why)))
        }
    }
}

/// A job that could not use what is there saves nothing: what it made would be the newest, and hide from all
/// later jobs what they can use.
#[allow(clippy::needless_pass_by_value)] // it comes by value, as `map` hands it over
fn not_for_others(trouble: String) -> NotSaved {
    NotSaved::Because(format!(
        "the job could not start from what the store holds, which therefore stays the newest: {trouble}"
    ))
}

/// What bringing up the volume and the engine needs.
struct Start<'a> {
    plan: Plan,
    place: &'a Place,
    settings: &'a Settings,
    objects: &'a Objects,
    reader: Reader,
    events: &'a Events,
}

/// What is up.
struct Up {
    parts: Parts,
    restored: Option<Restored>,
    /// Why the job did not start from the newest snapshot, although that may be whole.
    trouble: Option<String>,
}

impl Start<'_> {
    /// The report of a session that is up, and has done nothing yet.
    fn up(&self, parts: &mut Parts, lineage: Lineage) -> Job {
        Job {
            store: self.settings.project.store.to_string(),
            lineage,
            engine: facts::Engine {
                socket: self.place.docker_socket(),
                facts: parts.engine().facts(),
                choice: self.plan.choice.clone(),
            },
            volume: facts::Volume {
                bytes: parts.volume().bytes(),
                direct_io: parts.volume().opened().direct_io,
            },
            restored: None,
            saved: None,
            not_saved: None,
            lost: None,
            moved: Vec::new(),
            dropped: None,
            builds: Vec::new(),
            fetched: facts::Fetched::default(),
            phases: Vec::new(),
            warnings: Vec::new(),
            command: None,
        }
    }

    /// Brings volume and engine up on the snapshot that was found; if that does not work, on an empty
    /// volume, with the same shape of engine.
    async fn bring_up(
        &self,
        found: Option<Restorable>,
        mut trouble: Option<String>,
        timer: &mut Timer,
    ) -> Result<Up> {
        let mut failed = None;
        if let Some(found) = found {
            let restored = restored(&found);
            self.objects.patience().set(trouble::STARTING);
            match Parts::bring_up(&self.plan, self.place, found.source, timer).await {
                Ok(parts) => {
                    return Ok(Up {
                        parts,
                        restored: Some(restored),
                        trouble,
                    });
                }
                Err(stopped) if stopped.spoils_any_volume => return Err(stopped.failure),
                Err(stopped) => {
                    let (id, why) = (restored.snapshot, stopped.failure.to_string());
                    self.events.warning(&format!(
                        "starting empty, snapshot {} cannot be used: {why}",
                        id.short()
                    ));
                    timer.phase("failed_restore");
                    failed = Some((id, why, Verdict::on(&stopped)));
                }
            }
        }
        let source = Source::empty(self.objects.clone(), self.settings.volume_bytes)?;
        let parts = Parts::bring_up(&self.plan, self.place, Arc::new(source), timer);
        let parts = parts.await.map_err(|stopped| stopped.failure)?;
        if let Some((id, why, verdict)) = failed {
            // Now it is known that an empty volume does.
            if let Some(fault) = verdict.mark() {
                self.objects.patience().set(trouble::FINDING);
                self.reader.mark(self.objects, id, fault, &why).await;
            }
            trouble = trouble.or(verdict.leaves_it_to_others().then_some(why));
        }
        Ok(Up {
            parts,
            restored: None,
            trouble,
        })
    }
}

fn restored(found: &Restorable) -> Restored {
    let snapshot = &found.found.document;
    Restored {
        snapshot: found.found.id,
        lineage: snapshot.lineage.clone(),
        created_ms: snapshot.created_ms,
        read_uptime_ms: uptime_ms(),
        age_ms: now_ms().saturating_sub(snapshot.created_ms),
        used_bytes: snapshot.statistics.used_blocks * BLOCK_BYTES as u64,
        cold_build_ms: snapshot.cold_build_ms,
        sibling: snapshot.sibling,
    }
}
