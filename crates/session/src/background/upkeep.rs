//! Keeping an engine's volume below its bound: at the end of a job, while it runs if the volume fills up, and before
//! it if the snapshot is nearly full. Of directories nobody knows what they need, so nothing is dropped from them, and
//! from podman's storage at the end alone: what a build stands on is not known before.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use larder_engine::InRoom;
use larder_engine::collector::{self, Bound, Collected, Collector};
use larder_engine::scrub::ScrubOptions;
use larder_local::people::{Voice, size};
use larder_model::space::Space;

use super::course::Timer;
use super::events::Events;
use super::parts::Parts;
use super::tenant::{Keeper, PodmanLiving};
use crate::Settings;
use crate::facts::Dropped;

/// How often a volume is looked at while a job runs: a look takes microseconds, and a quick job writes some
/// hundred megabytes meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// What somebody waits for. What is not done by then, the next job does.
const END_LIMIT: Duration = Duration::from_secs(20);
/// What is done so that the job can run at all, or beside it.
const FILLING_LIMIT: Duration = Duration::from_secs(120);

/// What drops, and the bound.
pub(crate) struct Upkeep {
    /// For an engine.
    collector: Option<Collector>,
    /// For podman's storage.
    keeper: Option<Keeper>,
    in_room: InRoom,
    volume: PathBuf,
    keep_bytes: u64,
    scrub: ScrubOptions,
}

impl Upkeep {
    /// For a volume that nobody uses yet. Makes room on one that came nearly full.
    pub(super) async fn begin(
        parts: &mut Parts,
        settings: &Settings,
        events: &Events,
        timer: &mut Timer,
    ) -> Self {
        let upkeep = Self {
            collector: parts.collector().await,
            keeper: parts.podman().map(PodmanLiving::keeper),
            in_room: parts.runner(),
            volume: parts.mount_point(),
            keep_bytes: settings.keep_bytes,
            scrub: ScrubOptions {
                keep_volumes: settings.keep_volumes,
            },
        };
        let space = upkeep.space().await;
        if space.is_some_and(|space| space.is_filling()) {
            upkeep.make_room(events).await;
            timer.phase("collect");
        }
        upkeep
    }

    /// Does some work, and makes room when the volume fills up meanwhile.
    pub(super) async fn beside<T>(&self, voice: &dyn Voice, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = Box::pin(self.watch(voice)) => match never {},
        }
    }

    /// Drops what is not to be saved, and tells it in one line.
    pub(super) async fn after_job(&self, events: &Events) -> Option<Dropped> {
        let collected = match (&self.collector, &self.keeper) {
            (Some(collector), _) => {
                let bound = self.bound(Some(self.scrub), END_LIMIT);
                collector.finish(bound).await
            }
            (None, Some(keeper)) => {
                let bound = larder_podman::Bound {
                    keep_bytes: self.keep_bytes,
                    keep_volumes: self.scrub.keep_volumes,
                    limit: END_LIMIT,
                };
                keeper.drop_unneeded(bound).await
            }
            (None, None) => return None,
        };
        if let Some(warning) = &collected.warning {
            events.warning(warning);
        }
        let dropped = Dropped {
            images: collected.images,
            cache_records: collected.records,
            freed_bytes: collected.freed_bytes,
            used_bytes: collected.used_bytes,
        };
        if collected.images + collected.records > 0 {
            events.note(&format!(
                "dropped {}: {} are in use, of {} to keep",
                what(&collected),
                size(collected.used_bytes),
                size(self.keep_bytes)
            ));
        }
        Some(dropped)
    }

    /// Does what ends with nobody on the volume; with a far store what later jobs may drop is kept warm meanwhile.
    pub(super) async fn keep_warm_beside<T>(
        &self,
        is_far: bool,
        work: impl Future<Output = T>,
    ) -> T {
        match &self.collector {
            Some(collector) if is_far => collector.keep_warm_beside(work).await,
            _ => work.await,
        }
    }

    /// The engine is about to stop.
    pub(super) fn end(&self) {
        if let Some(collector) = &self.collector {
            collector.end();
        }
    }

    /// Why the volume is not to be saved as it is, if so: the next job would start from it.
    pub(super) async fn refusal(&self) -> Option<String> {
        let space = self.space().await?;
        space.is_full().then(|| {
            format!(
                "the volume is full, {} with what this job has used; choose a larger --size",
                fullness(&space)
            )
        })
    }

    fn bound(&self, scrub: Option<ScrubOptions>, deadline: Duration) -> Bound {
        Bound {
            keep_bytes: self.keep_bytes,
            scrub,
            deadline,
        }
    }

    async fn space(&self) -> Option<Space> {
        match collector::space_of(&self.in_room, &self.volume).await {
            Ok(space) => Some(space),
            Err(error) => {
                tracing::warn!(%error, "how full the volume is cannot be told");
                None
            }
        }
    }

    /// Makes room each time that the volume begins to fill up.
    async fn watch(&self, voice: &dyn Voice) -> Infallible {
        let mut is_known = false;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let space = self.space().await.unwrap_or_default();
            if space.is_filling() && !is_known {
                self.make_room(voice).await;
            }
            is_known = space.is_filling();
        }
    }

    async fn make_room(&self, voice: &dyn Voice) {
        let before = self.space().await.unwrap_or_default();
        let Some(collector) = &self.collector else {
            let before = fullness(&before);
            voice.warning(&format!(
                "the volume fills up, {before}; choose a larger --size"
            ));
            return;
        };
        let collected = collector.collect(self.bound(None, FILLING_LIMIT)).await;
        let after = self.space().await.unwrap_or_default();
        let done = match collected.images + collected.records {
            0 => "nothing is there but what this job uses".to_owned(),
            _ => format!("dropped {}: {}", what(&collected), fullness(&after)),
        };
        voice.warning(&format!(
            "the volume filled up, {}; {done}; choose a larger --size or a smaller --keep",
            fullness(&before)
        ));
    }
}

/// `2 images, 30 records of the build cache (1.2 GiB)`.
fn what(collected: &Collected) -> String {
    let counts = [
        (collected.images, "image", "images"),
        (
            collected.records,
            "record of the build cache",
            "records of the build cache",
        ),
    ];
    let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect();
    format!("{} ({})", counts.join(", "), size(collected.freed_bytes))
}

/// `7.3 GiB of 8.0 GiB are in use`; of files where these run out first.
fn fullness(space: &Space) -> String {
    let used_files = space.files.saturating_sub(space.free_files);
    let by_files = u128::from(used_files) * u128::from(space.bytes.max(1));
    if by_files > u128::from(space.used_bytes()) * u128::from(space.files) {
        return format!("{used_files} of {} files are in use", space.files);
    }
    let (used, all) = (size(space.used_bytes()), size(space.bytes));
    format!("{used} of {all} are in use")
}
