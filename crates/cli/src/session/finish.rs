//! Bringing a session down: the engine at rest, the volume sealed, the snapshot published.
//!
//! The gate before publishing asks few and cheap questions: did the engine end by itself, was
//! everything unmounted, is the superblock clean, did our own side see no fault? Any doubt means
//! that nothing is published, with one printed reason. There is no file system check and no look
//! into the engine's databases: elsewhere such checks have lost more commits than they saved.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_engine::quiesce::{CacheBound, QuiesceOptions};
use larder_engine::scrub::{ScrubOptions, Scrubbed, scrub};
use larder_engine::{Shape, holders};
use larder_model::snapshot::{self, EngineRecord, Snapshot, Statistics};
use larder_model::{address, hot};
use larder_store::packer::PackProgress;
use larder_store::{StoreError, catalog};
use larder_volume::{Seal, filesystem};

use super::events::Events;
use super::facts::{Fetched, Job, Saved, Timer, now_ms};
use super::leftovers;
use super::protocol::{Event, Progress};
use super::restore;
use super::start::Live;

const QUIESCE_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const HOLDERS_LIMIT: Duration = Duration::from_secs(10);
/// Build cache that nobody used for this long is dropped first when there is too much of it.
const CACHE_UNUSED: Duration = Duration::from_secs(14 * 24 * 3600);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Ends a session. Whatever goes wrong, the job's report comes back, and says it.
pub async fn finish(mut live: Live, discard: bool, events: &Events) -> Job {
    let mut timer = Timer::start();
    let said = live.job.warnings.len();
    let mut doubt = live.cannot_save.take();
    if discard {
        doubt = Some("asked not to".to_owned());
    }
    let sealed = close(&mut live, &mut doubt, &mut timer).await;
    let plan = live.planning.record(events).await;
    let given_back = live.parts.give_back();
    let saved = async {
        match (&doubt, &sealed) {
            (None, Some(seal)) => {
                save(&live.job, plan, seal, &live.objects, events, &mut timer).await
            }
            _ => Err(doubt
                .clone()
                .unwrap_or_else(|| "the volume was not sealed".to_owned())),
        }
    };
    let (given_back, saved) = tokio::join!(given_back, saved);
    let mut job = live.job;
    match saved {
        Ok(saved) => job.saved = saved,
        Err(why) => job.not_saved = Some(why),
    }
    if let Err(failure) = given_back {
        job.warnings.push(failure.to_string());
    }
    for warning in job.warnings.split_off(said) {
        events.emit(&Event::Warning(warning));
    }
    job.warnings.extend(events.take_warnings());
    if let Some(seal) = &sealed {
        job.fetched = fetched(seal);
    }
    job.phases.extend(timer.into_phases());
    leftovers::forget(&live.place);
    job
}

/// Brings engine and volume to rest; every reason not to save ends up in `doubt`, the first one wins.
async fn close(live: &mut Live, doubt: &mut Option<String>, timer: &mut Timer) -> Option<Seal> {
    if doubt.is_none() {
        quiesce(live).await;
    }
    timer.phase("quiesce");
    let stopped = live.parts.take_engine().stop(STOP_LIMIT).await;
    if !stopped.is_clean() {
        doubt.get_or_insert(format!(
            "the engine did not end in order (dockerd: {:?}, containerd: {:?})",
            stopped.dockerd, stopped.containerd
        ));
    }
    timer.phase("stop");
    let volume = live.parts.take_volume();
    let device = volume.opened().device;
    let holders = tokio::task::spawn_blocking(move || holders::end_holders(device, HOLDERS_LIMIT));
    let stuck = holders.await.expect("looking for processes does not panic");
    if let Some(process) = stuck.first() {
        doubt.get_or_insert(format!(
            "process {} holds the volume and does not end",
            process.pid
        ));
    }
    if doubt.is_none() {
        scrub_volume(live, doubt).await;
    }
    timer.phase("scrub");
    let fault = volume.fault();
    let closed = volume.close().await;
    timer.phase("close");
    if let (Some(fault), Some(restored)) = (fault.filter(|fault| fault.damage), &live.job.restored)
    {
        restore::mark(&live.objects, restored.snapshot, &fault.why).await;
    }
    match closed {
        Ok(seal) => Some(seal),
        Err(error) => {
            doubt.get_or_insert(error.to_string());
            None
        }
    }
}

async fn quiesce(live: &mut Live) {
    let mount = live.place.volume().mount;
    let used = live
        .parts
        .in_room(move || filesystem::used_bytes(&mount))
        .await;
    let keep = live.settings.keep_bytes;
    // Asking BuildKit what it holds costs more than asking the file system.
    let too_much = used.is_ok_and(|used| used > keep);
    let options = QuiesceOptions {
        networks: live.job.engine.choice.shape == Shape::Takeover,
        cache: CacheBound {
            unused_for: too_much.then_some(CACHE_UNUSED),
            bytes: too_much.then_some(keep),
        },
    };
    let quiesced = live.parts.engine().quiesce(options, QUIESCE_LIMIT).await;
    live.job.warnings.extend(quiesced.warnings);
}

async fn scrub_volume(live: &mut Live, doubt: &mut Option<String>) {
    let (mount, store) = (live.place.volume().mount, live.job.engine.facts.image_store);
    let options = ScrubOptions {
        keep_volumes: live.settings.keep_volumes,
    };
    match live
        .parts
        .in_room(move || scrub(&mount, store, options))
        .await
    {
        Ok(Scrubbed::Fit { warning, .. }) => live.job.warnings.extend(warning),
        Ok(Scrubbed::Refused(why)) => *doubt = Some(why),
        Err(error) => *doubt = Some(format!("it could not be scrubbed: {error}")),
    }
}

fn fetched(seal: &Seal) -> Fetched {
    let traffic = seal.traffic();
    Fetched {
        requests: traffic.requests,
        bytes: traffic.bytes,
        blocks_read: seal.hot().len() as u64,
    }
}

/// Stores and publishes. `None` if the job changed nothing that the store does not have already.
async fn save(
    job: &Job,
    plan: Option<serde_json::Value>,
    seal: &Seal,
    objects: &larder_store::Objects,
    events: &Events,
    timer: &mut Timer,
) -> Result<Option<Saved>, String> {
    let progress = Arc::new(PackProgress::default());
    let parent = job.restored.as_ref();
    let (hot_id, hot_bytes) = hot::encode(&seal.hot());
    let hot_len = hot_bytes.len() as u64;
    let all = async {
        tokio::try_join!(
            async {
                seal.pack(Arc::clone(&progress))
                    .await
                    .map_err(|error| error.to_string())
            },
            async { store_error(objects.put(&address::hot(hot_id), hot_bytes).await) },
            async { store_error(catalog::head::<Snapshot>(objects, &job.lineage).await) },
        )
    };
    let (packed, (), head) = tokio::select! {
        stored = all => stored?,
        never = show(&progress, events) => match never {},
    };
    timer.phase("pack");
    let before = parent.map_or(0, |parent| {
        parent.used_bytes / larder_model::limits::BLOCK_BYTES as u64
    });
    let statistics = Statistics {
        used_blocks: before.saturating_add_signed(packed.used_change),
        dirty_blocks: packed.dirty_blocks,
        new_blocks: packed.new_blocks,
        stored_bytes: packed.stored_bytes + hot_len,
    };
    let expected = parent
        .filter(|parent| parent.lineage == job.lineage)
        .map(|parent| parent.snapshot);
    let snapshot = Snapshot {
        format: snapshot::FORMAT,
        lineage: job.lineage.clone(),
        created_ms: now_ms(),
        parent: parent.map(|parent| parent.snapshot),
        sibling: head != expected,
        map: packed.map,
        volume_bytes: job.volume.bytes,
        hot: Some(hot_id),
        engine: EngineRecord::docker(&job.engine.facts.version, job.engine.facts.image_store),
        larder: env!("CARGO_PKG_VERSION").to_owned(),
        statistics,
        plan,
    };
    let id = store_error(catalog::publish(objects, &snapshot).await)?;
    timer.phase("publish");
    Ok(Some(Saved {
        snapshot: id,
        parent: snapshot.parent,
        sibling: snapshot.sibling,
        statistics,
    }))
}

fn store_error<T>(result: Result<T, StoreError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// Says how far the save is, until it is dropped.
async fn show(progress: &PackProgress, events: &Events) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        events.emit(&Event::Progress(Progress {
            done: progress.done.load(Ordering::Relaxed),
            total: progress.total.load(Ordering::Relaxed),
            stored_bytes: progress.stored_bytes.load(Ordering::Relaxed),
        }));
    }
}
