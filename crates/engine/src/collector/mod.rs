//! What keeps a volume small: images and build cache that no recent job used are dropped before it is saved, and
//! more of them if it holds too much. The rules are in model `volume/dropping.rs`; here they meet an engine.
//!
//! Who uses which image is heard from the engine's events while the job runs, and remembered on the volume, so
//! that it goes where the images go.

mod heard;
mod record;
mod survey;
mod warm;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder_docker::{ApiError, Remote};
use larder_local::clock::now_ms;
use larder_model::dropping::Dropping;
use larder_model::space::Space;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::heard::Heard;
pub use self::record::space;
use self::survey::Survey;
use crate::room::{InRoom, run_in};
use crate::scrub::{ScrubOptions, passing_bytes};

/// What shares layers with what stays frees less than it takes, so after each round is looked again.
const ROUNDS_MAX: usize = 12;
/// What goes beyond its bound is dropped until one part of so many is free below it.
const ROOM_PARTS: u64 = 8;

/// How much may stay, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Bytes in use on the volume.
    pub keep_bytes: u64,
    /// What goes with the scrub that follows does not count.
    pub scrub: Option<ScrubOptions>,
    /// What cannot be done in this time is left for the next job.
    pub deadline: Duration,
}

/// What was dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Images.
    pub images: usize,
    /// Records of the build cache.
    pub records: usize,
    /// How much less is in use.
    pub freed_bytes: u64,
    /// How much is.
    pub used_bytes: u64,
    /// What did not work, as a sentence. The rest was done.
    pub warning: Option<String>,
}

/// Drops what an engine need not keep.
pub struct Collector {
    remote: Remote,
    in_room: InRoom,
    volume: PathBuf,
    heard: Arc<Heard>,
    /// One at a time, with what was found out so far.
    survey: Mutex<Survey>,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector")
            .field("volume", &self.volume)
            .finish_non_exhaustive()
    }
}

impl Collector {
    /// Begins to hear which images an engine is asked for; its root is on `volume`, in the room. The job has
    /// not begun yet.
    pub async fn start(engine: &Remote, in_room: InRoom, volume: PathBuf) -> Self {
        // Its requests have the deadline of whoever waits for them.
        let remote = engine.within(Duration::from_secs(60));
        Self {
            heard: Heard::listen(engine).await,
            remote,
            in_room,
            volume,
            survey: Mutex::new(Survey::begun(now_ms())),
        }
    }

    async fn space(&self) -> io::Result<Space> {
        space_of(&self.in_room, &self.volume).await
    }

    /// Drops what the job at hand has not used: what no recent job did, and if more than the bound is in use, what
    /// was used least recently.
    pub async fn collect(&self, bound: Bound) -> Collected {
        let mut survey = self.survey.lock().await;
        let before = self.space().await.unwrap_or_default().used_bytes();
        let mut done = Collected::default();
        let collecting = self.run(bound, &mut survey, &mut done);
        match timeout(bound.deadline, collecting).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                done.warning = Some(format!("not all that could be was dropped: {error}"));
            }
            Err(_) => tracing::info!(?bound, "the rest is dropped by the next job"),
        }
        done.used_bytes = self.space().await.unwrap_or_default().used_bytes();
        done.freed_bytes = before.saturating_sub(done.used_bytes);
        done
    }

    /// The same at the end of a job, and what it used is remembered on the volume.
    pub async fn finish(&self, bound: Bound) -> Collected {
        let mut done = self.collect(bound).await;
        let survey = self.survey.lock().await;
        if let Some(uses) = survey.after_job() {
            let volume = self.volume.clone();
            let written = run_in(&self.in_room, move || record::write(&volume, &uses)).await;
            if let Err(error) = written {
                let warning = format!("the uses of images are not remembered: {error}");
                done.warning.get_or_insert(warning);
            }
        }
        done
    }

    /// Does some work while the volume is still there, and keeps warm meanwhile what later jobs may drop.
    pub async fn keep_warm_beside<T>(&self, work: impl Future<Output = T>) -> T {
        let (volume, is_over) = (self.volume.clone(), Arc::new(AtomicBool::new(false)));
        let until = Arc::clone(&is_over);
        let keeping = run_in(&self.in_room, move || {
            warm::keep(&volume, &until);
            Ok(())
        });
        let working = async {
            let done = work.await;
            is_over.store(true, Ordering::Relaxed);
            done
        };
        let (done, kept) = tokio::join!(working, keeping);
        tracing::debug!(?kept, "kept warm");
        done
    }

    /// The engine is about to stop: nothing is heard of it any more.
    pub fn end(&self) {
        self.heard.end();
    }

    async fn run(
        &self,
        bound: Bound,
        survey: &mut Survey,
        done: &mut Collected,
    ) -> Result<(), CollectError> {
        if !survey.has_record() {
            let volume = self.volume.clone();
            let read = run_in(&self.in_room, move || Ok(record::read(&volume))).await?;
            survey.set_record(read);
        }
        let holdings = survey.look(&self.remote, &self.heard).await?;
        let outlived = holdings.outlived(now_ms());
        self.drop_all(&outlived, survey, done).await?;
        if self.excess(bound).await? == 0 {
            return Ok(());
        }
        // With some room below, the next jobs need not drop again.
        let below = Bound {
            keep_bytes: bound.keep_bytes - bound.keep_bytes / ROOM_PARTS,
            ..bound
        };
        for _ in 0..ROUNDS_MAX {
            let excess = self.excess(below).await?;
            let holdings = survey.look(&self.remote, &self.heard).await?;
            let least = holdings.least_used(excess);
            if !self.drop_all(&least, survey, done).await? {
                break;
            }
        }
        Ok(())
    }

    async fn excess(&self, bound: Bound) -> io::Result<u64> {
        let space = self.space().await?;
        let excess = space.excess(bound.keep_bytes);
        let (1.., Some(options)) = (excess, bound.scrub) else {
            return Ok(excess);
        };
        let volume = self.volume.clone();
        let passing = run_in(&self.in_room, move || {
            passing_bytes(&volume, options).map_err(io::Error::other)
        });
        Ok(excess.saturating_sub(passing.await?))
    }

    /// Whether anything was dropped.
    async fn drop_all(
        &self,
        dropping: &Dropping,
        survey: &mut Survey,
        done: &mut Collected,
    ) -> Result<bool, ApiError> {
        let before = (done.images, done.records);
        for id in &dropping.images {
            if self.remote.remove_whole(id).await? {
                survey.forget(id);
                done.images += 1;
            }
        }
        done.records += self.remote.drop_build_cache(&dropping.records).await?;
        Ok(before != (done.images, done.records))
    }
}

/// How full the file system at `volume`, in the room, is.
pub async fn space_of(in_room: &InRoom, volume: &Path) -> io::Result<Space> {
    let volume = volume.to_owned();
    run_in(in_room, move || space(&volume)).await
}

/// Why not all could be dropped.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Io(#[from] io::Error),
}
