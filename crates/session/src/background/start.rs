//! Bringing a session up: what to start from, the volume, who lives on it.

use std::sync::Arc;

use larder_bases::{Freshness, Known, Record};
use larder_engine::program::EngineProgram;
use larder_local::clock::{now_ms, uptime_ms};
use larder_local::people::{Voice as _, size};
use larder_model::limits::BLOCK_BYTES;
use larder_podman::Storage;
use larder_store::catalog::Reader;
use larder_store::{Objects, Source};
use tokio::sync::oneshot;

use super::base_images::{Drafts, Planning};
use super::blocking;
use super::course::{Course, Timer};
use super::events::Events;
use super::parts::{Parts, Placed, Plan};
use super::restore::{self, Restorable, Search};
use super::tenant::{BuilderLiving, Coming, Continues};
use super::trouble;
use super::turn::Turn;
use super::upkeep::Upkeep;
use super::verdict::Verdict;
use crate::facts::{self, Job, Moved, NotSaved, Restored};
use crate::leftovers;
use crate::{JobRequest, Place, Result, Settings, Tenant};

/// A session that is up.
pub(crate) struct Live {
    pub(crate) settings: Settings,
    pub(crate) place: Place,
    /// The volume, who lives on it and what was done to the machine for them.
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
    /// The job's clock.
    pub(crate) course: Course,
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
    let JobRequest {
        settings,
        builds,
        program,
    } = begun.request;
    let place = begun.place;
    let mut course = Course::begin();
    let mut timer = course.timer();
    let reader = settings.project.reader();
    let drafts = Drafts::new(builds);
    let (tell, continues) = oneshot::channel();
    let searching = search(&settings, (&reader, &drafts), continues, events);
    let known = (program, begun.oom_score);
    let preparing = prepare(&settings, &place, begun.record, known, tell, events);
    let (searched, prepared) = beside(Box::pin(searching), Box::pin(preparing)).await?;
    let (objects, cannot_save, search) = searched;
    let (plan, turn, placed) = prepared;
    timer.phase("find");
    let known = known_before(search.found.as_ref());
    let mut planning = Planning::begin(&settings.project, &objects, drafts, known);
    let start = Start {
        plan,
        place: &place,
        settings: &settings,
        objects: &objects,
        reader,
        events,
    };
    let coming = Box::pin(start.bring_up(placed, search, &mut timer));
    let Up {
        mut parts,
        restored,
        trouble,
    } = trouble::telling(&objects, events, coming).await?;
    course.follow(parts.volume().source());
    let cannot_save = cannot_save.or(trouble.map(not_for_others));
    if cannot_save.is_none() && settings.stores_early(objects.is_near()) {
        parts.store_early();
    }
    let warnings = events.take_warnings();
    parts.tell_warnings(events);
    let upkeep = Upkeep::begin(&mut parts, &settings, events, &mut timer).await;
    let compares = restored.is_some() && settings.project.freshness != Freshness::Never;
    let moved = compare(compares, &mut planning, &parts, events, &mut timer).await;
    let up = start.up(&mut parts);
    timer.phase("facts");
    Ok(Live {
        settings,
        place,
        parts,
        objects,
        upkeep: Arc::new(upkeep),
        cannot_save,
        planning,
        turn,
        job: Job {
            started_ms: course.started_ms,
            restored,
            moved,
            phases: timer.into_phases(),
            warnings,
            ..up
        },
        course,
    })
}

/// The base images that moved, which the engine is made to forget; none if they are not to be compared. An empty
/// engine holds nothing that could have moved.
async fn compare(
    compares: bool,
    planning: &mut Planning,
    parts: &Parts,
    events: &Events,
    timer: &mut Timer,
) -> Vec<Moved> {
    let (true, Some(holder)) = (compares, parts.holder()) else {
        return Vec::new();
    };
    let moved = planning.compare(&holder, events).await;
    timer.phase("fresh");
    moved
}

/// The store, why nothing can be saved there, and what of it to start from.
type Searched = (Objects, Option<NotSaved>, Search);
/// What is to be brought up, the turn of an engine in the machine's place, and the machine as it is prepared for both.
type Prepared = (Plan, Option<Turn>, Placed);

/// Looks for a snapshot, and looks at the machine and prepares it meanwhile: a store that is far takes about as long.
/// Whichever of the two fails, nothing of ours is left on the machine.
async fn beside(
    searching: impl Future<Output = Result<Searched>>,
    preparing: impl Future<Output = Result<Prepared>>,
) -> Result<(Searched, Prepared)> {
    let (searched, prepared) = tokio::join!(searching, preparing);
    let (plan, turn, placed) = prepared?;
    match searched {
        Ok(searched) => Ok((searched, (plan, turn, placed))),
        Err(refused) => {
            placed.abandon().await;
            Err(refused)
        }
    }
}

/// Looks at the machine, tells on the way which volumes can be continued, and prepares it for any of them.
async fn prepare(
    settings: &Settings,
    place: &Place,
    record: leftovers::Record,
    known: (Option<EngineProgram>, Option<String>),
    tell: oneshot::Sender<Continues>,
    events: &Events,
) -> Result<Prepared> {
    let (coming, turn) = Coming::look(settings, place, known, tell, events).await?;
    let placed = Placed::prepare(&coming, &record, place).await;
    let store_is_near = settings.project.store.location().as_folder().is_some();
    let plan = Plan {
        coming,
        prefetch: settings.prefetch(store_is_near),
        record,
    };
    Ok((plan, turn, placed))
}

/// Opens the store, and looks for a snapshot once it is known which volumes can be continued; if it never is, the
/// start has failed, and nothing is looked for.
async fn search(
    settings: &Settings,
    (reader, drafts): (&Reader, &Drafts),
    continues: oneshot::Receiver<Continues>,
    events: &Events,
) -> Result<Searched> {
    let (objects, cannot_save) = open_store(settings, events).await;
    let search = match (&settings.instead_of, continues.await) {
        (Some(lost), _) => Search::instead_of(lost),
        (None, Err(_)) => Search::default(),
        (None, Ok(continues)) => {
            tracing::debug!(?continues, "looking for a snapshot");
            objects.patience().set(trouble::FINDING);
            let ladder = settings.project.descent.ladder(&continues.compatibility);
            let how = (ladder, continues.version, drafts.plans_soon());
            let mut search = restore::find(&objects, how, reader, events).await?;
            leave_too_large(settings, &mut search, events);
            search
        }
    };
    Ok((objects, cannot_save, search))
}

/// Leaves a snapshot of directories that hold more than they may.
fn leave_too_large(settings: &Settings, search: &mut Search, events: &Events) {
    if matches!(settings.tenant, Tenant::Folders(_))
        && let Some(large) = search
            .found
            .take_if(|found| used_bytes(found) > settings.keep_bytes)
    {
        events.note(&format!(
            "starting empty: snapshot {:.12} holds {}, of {} to keep, and nobody knows what of it is still needed; \
             what this job makes takes its place",
            large.found.id,
            size(used_bytes(&large)),
            size(settings.keep_bytes)
        ));
    }
}

fn used_bytes(found: &Restorable) -> u64 {
    found.found.document.statistics.used_blocks * BLOCK_BYTES as u64
}

/// What the restored snapshot's job knew of base images.
fn known_before(found: Option<&Restorable>) -> Vec<Known> {
    let record = found.and_then(|found| Record::from_value(found.found.document.plan.as_ref()?));
    record.map(|record| record.images).unwrap_or_default()
}

/// A store that cannot be opened is a miss, and nothing will be saved. Opening takes time: certificates are read.
async fn open_store(settings: &Settings, events: &Events) -> (Objects, Option<NotSaved>) {
    let store = settings.project.store.clone();
    match blocking(move || store.open()).await {
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
    fn up(&self, parts: &mut Parts) -> Job {
        let compatibility = self.plan.coming.continues().compatibility;
        let lineage = self.settings.project.descent.lineage(&compatibility);
        Job {
            store: self.settings.project.store.to_string(),
            started_ms: 0,
            lineage,
            engine: self.engine(parts),
            builder: parts.living().builder().map(BuilderLiving::facts),
            podman: self.podman(parts),
            folders: self.settings.tenant.folders().to_vec(),
            used_ms: None,
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
            traffic: Vec::new(),
            warnings: Vec::new(),
            command: None,
        }
    }

    fn engine(&self, parts: &mut Parts) -> Option<facts::Engine> {
        let Coming::Engine(coming) = &self.plan.coming else {
            return None;
        };
        Some(facts::Engine {
            socket: self.place.docker_socket(),
            facts: parts.engine()?.facts(),
            choice: coming.choice.clone(),
        })
    }

    fn podman(&self, parts: &Parts) -> Option<facts::Podman> {
        let info = parts.podman()?.info();
        Some(facts::Podman {
            version: info.version.clone(),
            driver: info.driver.clone(),
            storage_conf: Storage::file(&self.place.run()),
            user: self.settings.tenant.podman_user(),
        })
    }

    /// Brings volume and tenant up on the snapshot that was found; if that does not work, on an empty
    /// volume, with the same shape of engine.
    async fn bring_up(
        &self,
        mut placed: Placed,
        Search { found, mut trouble }: Search,
        timer: &mut Timer,
    ) -> Result<Up> {
        let mut failed = None;
        if let Some(found) = found {
            let restored = restored(&found);
            self.objects.patience().set(trouble::STARTING);
            match Parts::bring_up(placed, &self.plan, found.source, timer).await {
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
                        "starting empty, snapshot {id:.12} cannot be used: {why}"
                    ));
                    timer.phase("failed_restore");
                    failed = Some((id, why, Verdict::on(&stopped)));
                    let Plan { coming, record, .. } = &self.plan;
                    placed = Placed::prepare(coming, record, self.place).await;
                }
            }
        }
        let source = Source::empty(self.objects.clone(), self.settings.volume_bytes)?;
        let parts = Parts::bring_up(placed, &self.plan, Arc::new(source), timer);
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
    let used_bytes = used_bytes(found);
    Restored {
        snapshot: found.found.id,
        lineage: snapshot.lineage.clone(),
        created_ms: snapshot.created_ms,
        counter: snapshot.counter,
        read_uptime_ms: uptime_ms(),
        age_ms: now_ms().saturating_sub(snapshot.created_ms),
        used_bytes,
        cold_build_ms: snapshot.cold_build_ms,
        history: snapshot.history(found.found.id),
        sibling: snapshot.sibling,
    }
}
