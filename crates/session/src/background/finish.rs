//! Bringing a session down: the engine or the directories at rest, the volume sealed, the snapshot published.
//!
//! Before publishing, few and cheap questions are asked: did the engine end by itself, was everything
//! unmounted, is the superblock clean, did our own side see no fault? Any doubt means that nothing is
//! published, with one printed reason. There is no file system check and no look into the engine's
//! databases: elsewhere such checks have lost more snapshots than they saved.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_buildkit::{Bounds, Seen, scrub_builders};
use larder_engine::quiesce::QuiesceOptions;
use larder_engine::scrub::{ScrubOptions, Scrubbed, scrub};
use larder_engine::{EngineError, Shape};
use larder_local::clock::{now_ms, uptime_ms};
use larder_local::people::{Progress, Voice as _};
use larder_model::address::{self, Kind};
use larder_model::history::Figures;
use larder_model::limits::BLOCK_BYTES;
use larder_model::retention::REUSE_MS;
use larder_model::snapshot::{EngineRecord, Snapshot, Statistics};
use larder_model::{clock, mark};
use larder_store::catalog::Reader;
use larder_store::{Candidate, Objects, PackProgress, Packed, catalog, closure};
use larder_upkeep::gc;
use larder_volume::{Seal, VolumeError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::course::{Course, Timer, total_ms};
use super::events::Events;
use super::start::Live;
use super::tenant::{CACHE_UNUSED, end_holders};
use super::trouble;
use super::turn::Turn;
use crate::facts::{Fetched, Job, NotSaved, Saved};
use crate::leftovers;

const QUIESCE_LIMIT: Duration = Duration::from_secs(60);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Ends a session. It always returns the job's report, which says what went wrong.
pub(crate) async fn finish(
    mut live: Live,
    discard: bool,
    within: Option<Duration>,
    events: &Events,
) -> Job {
    let mut timer = live.course.timer();
    // One that comes while the volume is closed counts too.
    let hurry = Hurry::listen(within);
    let mut doubt = discard.then_some(NotSaved::Asked);
    doubt = doubt.or_else(|| live.job.lost.as_ref().map(|lost| because(&lost.why)));
    doubt = doubt.or(live.cannot_save.take());
    let sealed = close(&mut live, &mut doubt, events, &mut timer).await;
    let plan = live.planning.record(events).await;
    let saved = async {
        match (doubt, &sealed) {
            (Some(doubt), _) => Err(doubt),
            (None, None) => Err(because("the volume was not sealed")),
            (None, Some(seal)) => {
                let (job, objects) = (&live.job, &live.objects);
                let save = Save {
                    job,
                    seal,
                    objects,
                    course: &live.course,
                    reader: live.settings.project.reader(),
                };
                objects.patience().reset();
                let saved = save.run(plan, events, &mut timer);
                let saved = trouble::telling(objects, events, saved);
                tokio::select! {
                    saved = saved => saved,
                    why = hurry.asked() => Err(because(why)),
                }
            }
        }
    };
    let (given_back, saved) = tokio::join!(live.parts.give_back(), saved);
    let mut job = live.job;
    match saved {
        Ok(saved) => job.saved = Some(saved),
        Err(why) => job.not_saved = Some(why),
    }
    // Whoever has the turn next finds the machine as it was, or our record.
    let ended = given_back.and_then(|()| live.turn.map_or(Ok(()), Turn::end));
    if let Err(error) = &ended {
        events.warning(&error.to_string());
    }
    if let Some(why) = live.objects.near_trouble() {
        events.warning(&why);
    }
    job.warnings.extend(events.take_warnings());
    if let Some(seal) = &sealed {
        job.fetched = fetched(seal);
    }
    job.traffic = live.course.take_moments();
    job.phases.extend(timer.into_phases());
    if ended.is_ok() {
        leftovers::forget(&live.place);
    }
    job
}

#[allow(clippy::needless_pass_by_value)] // errors come by value, as `map_err` hands them over
fn because(why: impl ToString) -> NotSaved {
    NotSaved::Because(why.to_string())
}

/// Brings the volume and who lives on it to rest; every reason not to save ends up in `doubt`, the first one wins.
async fn close(
    live: &mut Live,
    doubt: &mut Option<NotSaved>,
    events: &Events,
    timer: &mut Timer,
) -> Option<Seal> {
    let is_told = doubt.is_some();
    quiesce(live, doubt.is_none(), events).await;
    timer.phase("quiesce");
    if doubt.is_none() {
        live.job.dropped = live.upkeep.after_job(events).await;
    }
    live.upkeep.end();
    timer.phase("collect");
    live.parts.tell_warnings(events);
    let (living, mut volume) = (live.parts.take_living(), live.parts.take_volume());
    let is_wanted = doubt.is_none();
    let leaving = Box::pin(living.leave(&volume, is_wanted, events));
    let is_far = is_wanted && !live.objects.is_near();
    let left = live.upkeep.keep_warm_beside(is_far, leaving).await;
    *doubt = doubt.take().or(left.doubt.map(NotSaved::Because));
    timer.phase("stop");
    let are_ours = live.job.engine.is_some() || live.job.builder.is_some();
    if let Some(process) = end_holders(&volume, are_ours).await.first() {
        doubt.get_or_insert(because(format_args!(
            "process {} still uses the volume and does not end",
            process.pid
        )));
        volume.give_up();
    }
    // It explains what else is wrong: the kernel makes a file system read-only whose pages it cannot write.
    if let Some(fault) = volume.fault().filter(|_| !is_told) {
        *doubt = Some(because(VolumeError::Fault(fault)));
    }
    if doubt.is_none() {
        *doubt = scrub_volume(live, left.builders, events).await;
    }
    if doubt.is_none() {
        *doubt = live.upkeep.refusal().await.map(NotSaved::Because);
    }
    timer.phase("scrub");
    if doubt.is_some() {
        // What is still read is for nobody.
        live.objects.patience().set(trouble::LEAVING);
    }
    let fault = volume.fault();
    let closed = volume.close().await;
    timer.phase("close");
    if let (Some(fault), Some(restored)) = (fault.filter(|fault| fault.damage), &live.job.restored)
    {
        let (reader, id) = (live.settings.project.reader(), restored.snapshot);
        live.objects.patience().set(trouble::FINDING);
        let marking = reader.mark(&live.objects, id, mark::Fault::Damage, &fault.why);
        marking.await;
    }
    match closed {
        Ok(seal) => Some(seal),
        Err(error) => {
            doubt.get_or_insert(because(error));
            None
        }
    }
}

/// What ends a save early: signals, from the moment on when somebody listens, and the time that was allowed.
struct Hurry {
    signals: [io::Result<Signal>; 2],
    until: Option<Instant>,
}

impl Hurry {
    fn listen(within: Option<Duration>) -> Self {
        Self {
            signals: [SignalKind::terminate(), SignalKind::interrupt()].map(signal),
            until: within.and_then(|time| Instant::now().checked_add(time)),
        }
    }

    /// Waits for any of them, and says which it was.
    async fn asked(self) -> &'static str {
        let time_is_up = async {
            match self.until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let [terminate, interrupt] = self.signals;
        tokio::select! {
            () = heard(terminate) => "a signal ended the save",
            () = heard(interrupt) => "a signal ended the save",
            () = time_is_up => "ending took longer than --grace allows",
        }
    }
}

async fn heard(signals: io::Result<Signal>) {
    match signals {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// Directories need nothing: what is written to them is on the volume when they are taken away. Podman's containers are
/// the machine's, so they are removed also if nothing is saved.
async fn quiesce(live: &mut Live, is_wanted: bool, events: &Events) {
    let mut warnings = Vec::new();
    if let Some(podman) = live.parts.podman() {
        if live.job.lost.is_none() {
            warnings = podman.rest(QUIESCE_LIMIT).await;
        }
    } else if let (true, Some(about), Some(engine)) =
        (is_wanted, &live.job.engine, live.parts.engine())
    {
        let options = QuiesceOptions {
            networks: about.choice.shape == Shape::Takeover,
        };
        warnings = engine.quiesce(options, QUIESCE_LIMIT).await;
    }
    for warning in &warnings {
        events.warning(warning);
    }
}

/// Removes from an engine's root, from builders' states, or from podman's storage, what belongs to this machine or job
/// alone; says why nothing may be saved, if so.
async fn scrub_volume(live: &mut Live, builders: Vec<Seen>, events: &Events) -> Option<NotSaved> {
    let mount = live.place.volume().mount;
    if live.job.podman.is_some() {
        let keep_volumes = live.settings.keep_volumes;
        let scrubbed = live
            .parts
            .in_room(move || larder_podman::scrub(&mount, keep_volumes));
        return match scrubbed.await {
            Ok(refused) => refused.map(NotSaved::Because),
            Err(error) => Some(not_scrubbed(&error)),
        };
    }
    if !live.job.folders.is_empty() {
        return None;
    }
    let engine = live.job.engine.as_ref();
    let store = engine.map(|engine| engine.facts.image_store);
    let options = ScrubOptions {
        keep_volumes: live.settings.keep_volumes,
    };
    let bounds = Bounds {
        now_ms: now_ms(),
        unused_for: CACHE_UNUSED,
        bytes: live.settings.keep_bytes,
    };
    let scrubbed = live.parts.in_room(move || {
        let of_builders = scrub_builders(&mount, &builders, bounds)?;
        let of_engine = store.map(|store| scrub(&mount, store, options));
        Ok::<_, EngineError>((of_engine.transpose()?, of_builders))
    });
    match scrubbed.await {
        Ok((Some(Scrubbed::Refused(why)), _)) => Some(NotSaved::Because(why)),
        Ok((of_engine, of_builders)) => {
            let (mut warnings, mut builds) = (of_builders.notices, of_builders.builds);
            if let Some(Scrubbed::Fit {
                warning,
                builds: of_engine,
                ..
            }) = of_engine
            {
                warnings.extend(warning);
                builds.splice(..0, of_engine);
            }
            live.job.builds = builds;
            for warning in warnings {
                events.warning(&warning);
            }
            None
        }
        Err(error) => Some(not_scrubbed(&error)),
    }
}

fn not_scrubbed(error: &EngineError) -> NotSaved {
    because(format_args!("the volume could not be scrubbed: {error}"))
}

fn fetched(seal: &Seal) -> Fetched {
    let traffic = seal.traffic();
    Fetched {
        requests: traffic.requests,
        bytes: traffic.bytes,
        near_bytes: traffic.near_bytes,
        blocks_read: seal.blocks_read() as u64,
    }
}

/// What is stored and published.
struct Save<'a> {
    job: &'a Job,
    seal: &'a Seal,
    objects: &'a Objects,
    course: &'a Course,
    reader: Reader,
}

impl Save<'_> {
    async fn run(
        &self,
        plan: Option<serde_json::Value>,
        events: &Events,
        timer: &mut Timer,
    ) -> Result<Saved, NotSaved> {
        let progress = &self.course.saving;
        let stored = async {
            tokio::try_join!(
                async { self.seal.pack(Arc::clone(progress)).await.map_err(because) },
                async {
                    let lineage = &self.job.lineage;
                    let head = catalog::head::<Snapshot>(self.objects, lineage, now_ms());
                    head.await.map_err(because)
                },
                self.check_parent(),
            )
        };
        let (packed, head, ()) = tokio::select! {
            stored = stored => stored?,
            never = show(progress, events) => match never {},
        };
        timer.phase("pack");
        self.check_that_it_stays(&packed).await?;
        let counter = self.counter(head.as_ref()).await?;
        let snapshot = self.snapshot(&packed, (head, counter), self.figures(timer), plan);
        let settled = closure::settle(self.objects, &snapshot).await;
        settled.map_err(because)?;
        let id = catalog::publish(self.objects, &snapshot).await;
        let id = id.map_err(because)?;
        Box::pin(gc::leave_newest(self.objects, events)).await;
        timer.phase("publish");
        Ok(Saved {
            snapshot: id,
            parent: snapshot.parent,
            sibling: snapshot.sibling,
            statistics: snapshot.statistics,
        })
    }

    async fn counter(&self, head: Option<&Candidate>) -> Result<u64, NotSaved> {
        let lineage = &self.job.lineage;
        let parent = self.job.restored.as_ref().and_then(|parent| {
            let place = (parent.created_ms, parent.counter);
            (parent.lineage == *lineage).then_some(place)
        });
        let counter = catalog::counter(self.objects, lineage, parent, head);
        counter.await.map_err(because)
    }

    /// What a marked snapshot names may be damaged, and this one would name it too. It must not be found.
    async fn check_parent(&self) -> Result<(), NotSaved> {
        let Some(parent) = &self.job.restored else {
            return Ok(());
        };
        let id = parent.snapshot;
        let scopes = [&*parent.lineage.scope, &*self.job.lineage.scope];
        let marked = self.reader.passes_over(self.objects, id, &scopes);
        match marked.await {
            Ok(true) => Err(because(format_args!(
                "snapshot {id:.12}, from which this job started, was marked as broken meanwhile"
            ))),
            Ok(false) => Ok(()),
            Err(error) => Err(because(error)),
        }
    }

    /// What a snapshot names is collected some time after it was removed, or laid out anew. A short job is over by then.
    async fn check_that_it_stays(&self, packed: &Packed) -> Result<(), NotSaved> {
        let parent = self.job.restored.as_ref();
        let Some(parent) =
            parent.filter(|parent| uptime_ms().saturating_sub(parent.read_uptime_ms) >= REUSE_MS)
        else {
            return Ok(());
        };
        let (lineage, id) = (&parent.lineage, parent.snapshot);
        let path = address::document(Kind::Snapshot, lineage, parent.created_ms, id);
        let own = address::map(packed.map);
        match catalog::holds(self.objects, &path, &own).await {
            Ok(true) => Ok(()),
            Err(error) => Err(because(error)),
            Ok(false) => Err(because(format_args!(
                "snapshot {id:.12}, from which this job started hours ago, was removed meanwhile, and a collection may \
                 have removed what it names"
            ))),
        }
    }

    fn statistics(&self, packed: &Packed) -> Statistics {
        let parent = self.job.restored.as_ref();
        let before = parent.map_or(0, |parent| parent.used_bytes / BLOCK_BYTES as u64);
        Statistics {
            used_blocks: before.saturating_add_signed(packed.used_change),
            dirty_blocks: packed.dirty_blocks,
            new_blocks: packed.new_blocks,
            stored_bytes: packed.stored_bytes,
        }
    }

    fn figures(&self, timer: &Timer) -> Figures {
        let builds = &self.job.builds;
        let traffic = self.seal.traffic();
        Figures {
            steps: builds.iter().map(|build| build.steps).sum(),
            cached_steps: builds.iter().map(|build| build.cached_steps).sum(),
            build_ms: builds.iter().map(|build| build.ms).sum(),
            start_ms: total_ms(&self.job.phases),
            end_ms: timer.total_ms(),
            job_ms: self.course.elapsed_ms(),
            fetched_bytes: traffic.bytes,
            requests: traffic.requests,
        }
    }

    fn snapshot(
        &self,
        packed: &Packed,
        (head, counter): (Option<Candidate>, u64),
        figures: Figures,
        plan: Option<serde_json::Value>,
    ) -> Snapshot {
        let job = self.job;
        let parent = job.restored.as_ref();
        let expected = parent.filter(|parent| parent.lineage == job.lineage);
        let parent_ms = parent.map(|parent| parent.created_ms);
        let head_ms = head.map(|head| head.created_ms);
        Snapshot {
            parent: parent.map(|parent| parent.snapshot),
            // One that was laid out anew meanwhile has the same time.
            sibling: head_ms != expected.map(|parent| parent.created_ms),
            counter,
            hot: packed.hot,
            first: packed.first.clone(),
            statistics: self.statistics(packed),
            cold_build_ms: job.cold_build_ms(),
            figures: Some(figures),
            past: expected.map_or_else(Vec::new, |parent| parent.history.clone()),
            plan,
            ..Snapshot::first(
                job.lineage.clone(),
                clock::successor(now_ms(), parent_ms, head_ms),
                packed.map,
                job.volume.bytes,
                record(job),
            )
        }
    }
}

/// Who wrote the volume.
fn record(job: &Job) -> EngineRecord {
    match (&job.engine, &job.builder, &job.podman) {
        (Some(engine), ..) => EngineRecord::docker(&engine.facts.version, engine.facts.image_store),
        (None, Some(builder), _) => EngineRecord::buildkit(&builder.version),
        (None, None, Some(podman)) => EngineRecord::podman(&podman.version, &podman.driver),
        (None, None, None) => EngineRecord::folder(),
    }
}

/// Tells the progress of the save, until this future is dropped.
async fn show(progress: &PackProgress, events: &Events) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        events.progress(Progress::Saving {
            done: progress.done.load(Ordering::Relaxed),
            total: progress.total.load(Ordering::Relaxed),
            stored_bytes: progress.stored_bytes.load(Ordering::Relaxed),
        });
    }
}
