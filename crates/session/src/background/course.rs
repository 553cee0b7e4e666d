//! How a job went in time: when each phase began, and how many bytes had come and gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use larder_local::clock::{ms_since, now_ms};
use larder_model::course::{Moment, Phase};
use larder_store::{PackProgress, Source};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

/// Moments that are kept. When there are more, every second one goes, and they come half as often.
const MOMENTS_MAX: usize = 120;
/// How often one comes at first.
const INTERVAL: Duration = Duration::from_millis(250);

/// A job's clock, and what it has noted.
#[derive(Debug)]
pub(crate) struct Course {
    began: Instant,
    /// The same as Unix time.
    pub(super) started_ms: u64,
    /// How far its save is.
    pub(super) saving: Arc<PackProgress>,
    following: Option<Following>,
}

impl Course {
    /// Begins now.
    pub(super) fn begin() -> Self {
        Self {
            began: Instant::now(),
            started_ms: now_ms(),
            saving: Arc::default(),
            following: None,
        }
    }

    /// Measures phases from now on.
    pub(super) fn timer(&self) -> Timer {
        Timer {
            began: self.began,
            since: Instant::now(),
            phases: Vec::new(),
        }
    }

    /// How long the job has lasted.
    pub(super) fn elapsed_ms(&self) -> u64 {
        ms_since(self.began)
    }

    /// Notes from now on what was fetched, and what is stored.
    pub(super) fn follow(&mut self, source: Arc<Source>) {
        let look = Look {
            began: self.began,
            source,
            saving: Arc::clone(&self.saving),
        };
        let mut moments = Moments::default();
        moments.note(Moment::default());
        let moments = Arc::new(Mutex::new(moments));
        let task = tokio::spawn(look.clone().follow(Arc::clone(&moments)));
        self.following = Some(Following {
            look,
            moments,
            task,
        });
    }

    /// What was noted, to the last moment.
    pub(super) fn take_moments(&mut self) -> Vec<Moment> {
        let Some(following) = self.following.take() else {
            return Vec::new();
        };
        let mut moments = following.moments.lock();
        moments.note(following.look.now());
        std::mem::take(&mut moments.kept)
    }
}

/// A task that notes moments, and ends with this.
#[derive(Debug)]
struct Following {
    look: Look,
    moments: Arc<Mutex<Moments>>,
    task: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where bytes are counted.
#[derive(Debug, Clone)]
struct Look {
    began: Instant,
    source: Arc<Source>,
    saving: Arc<PackProgress>,
}

impl Look {
    fn now(&self) -> Moment {
        Moment {
            at_ms: ms_since(self.began),
            fetched_bytes: self.source.traffic().bytes,
            stored_bytes: self.saving.stored_bytes.load(Ordering::Relaxed),
        }
    }

    async fn follow(self, moments: Arc<Mutex<Moments>>) {
        loop {
            let interval = moments.lock().note(self.now());
            tokio::time::sleep(interval).await;
        }
    }
}

#[derive(Debug)]
struct Moments {
    kept: Vec<Moment>,
    interval: Duration,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            interval: INTERVAL,
        }
    }
}

impl Moments {
    /// Keeps one, and says how long to wait for the next. Of moments at which nothing had changed the last stays.
    fn note(&mut self, moment: Moment) -> Duration {
        if let [.., before, last] = &mut self.kept[..]
            && before.has_same_bytes(last)
            && last.has_same_bytes(&moment)
        {
            *last = moment;
            return self.interval;
        }
        self.kept.push(moment);
        if self.kept.len() > MOMENTS_MAX {
            let mut number = 0;
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.interval = self.interval.saturating_mul(2);
        }
        self.interval
    }
}

/// Measures phases.
#[derive(Debug)]
pub(crate) struct Timer {
    began: Instant,
    since: Instant,
    phases: Vec<Phase>,
}

impl Timer {
    /// Ends the current phase, which gets this name, and starts the next one.
    pub(crate) fn phase(&mut self, name: &str) {
        let now = Instant::now();
        let at = (self.since - self.began).as_secs_f64();
        let took = (now - self.since).as_secs_f64();
        self.phases.push(Phase::of_seconds(name, at, took));
        self.since = now;
    }

    /// What all phases so far took.
    pub(super) fn total_ms(&self) -> u64 {
        total_ms(&self.phases)
    }

    pub(crate) fn into_phases(self) -> Vec<Phase> {
        self.phases
    }
}

/// What some phases took together.
#[allow(clippy::cast_sign_loss)] // no phase takes less than no time
pub(super) fn total_ms(phases: &[Phase]) -> u64 {
    phases.iter().map(|phase| phase.ms).sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_job_has_no_more_moments_than_a_short_one() {
        let mut moments = Moments::default();
        for at_ms in 0..10_000 {
            moments.note(Moment {
                at_ms,
                fetched_bytes: at_ms.min(5000),
                stored_bytes: 0,
            });
        }
        assert!(moments.kept.len() <= MOMENTS_MAX, "{}", moments.kept.len());
        assert!(moments.kept.is_sorted_by_key(|moment| moment.at_ms));
        let last = moments.kept.last().expect("some");
        assert_eq!((last.at_ms, last.fetched_bytes), (9_999, 5000));
    }
}
