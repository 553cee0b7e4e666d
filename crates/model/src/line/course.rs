//! How a job went in time: its phases, the steps of its builds, and bytes.

use serde::{Deserialize, Serialize};

/// Steps of a build that are told one by one.
pub const TOLD_STEPS_MAX: usize = 60;
/// Characters of a step's name that are told.
pub const NAME_CHARS_MAX: usize = 200;

/// A part of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Phase {
    /// Its name. On a volume: `find`, `failed_restore`, `volume`, `engine`, `builder`, `podman` or `folders`, `fresh`,
    /// `facts`, `command`, `quiesce`, `collect`, `stop`, `scrub`, `close`, `pack`, `publish`; `collect` also before the
    /// command, if the snapshot was nearly full. Through an engine's API: `restore`, `command`, `look`, `save`.
    pub name: String,
    /// When it began, from the job's beginning on.
    #[serde(default)]
    pub at_ms: f64,
    /// How long it took.
    pub ms: f64,
}

impl Phase {
    /// One that began so many seconds after the job did, and took so many.
    pub fn of_seconds(name: &str, at: f64, took: f64) -> Self {
        Self {
            name: name.to_owned(),
            at_ms: at * 1000.0,
            ms: took * 1000.0,
        }
    }
}

/// A build that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// All steps.
    pub steps: u64,
    /// Those whose results were there.
    pub cached_steps: u64,
    /// How long it took.
    pub ms: u64,
    /// When it began: Unix time in milliseconds.
    #[serde(default)]
    pub started_ms: u64,
    /// Whether it failed, or was stopped.
    #[serde(default)]
    pub failed: bool,
    /// Its steps, in the order in which they began; of many those that took longest.
    #[serde(default)]
    pub course: Vec<Step>,
}

/// A step of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// As `docker build` calls it: `[deps 3/4] RUN npm ci`.
    pub name: String,
    /// When it began: Unix time in milliseconds.
    pub started_ms: u64,
    /// How long it took.
    pub ms: u64,
    /// Whether its result was there.
    pub cached: bool,
}

/// The steps that are told of a build's: those that took longest, in the order in which they began.
pub fn told(mut steps: Vec<Step>) -> Vec<Step> {
    steps.sort_by_key(|step| std::cmp::Reverse(step.ms));
    steps.truncate(TOLD_STEPS_MAX);
    steps.sort_by_key(|step| step.started_ms);
    steps
}

/// How many bytes had come and gone at some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When, from the job's beginning on.
    pub at_ms: u64,
    /// What had been fetched from the store.
    pub fetched_bytes: u64,
    /// What had been stored at the job's end.
    pub stored_bytes: u64,
}

impl Moment {
    /// Whether nothing has come or gone between the two.
    pub fn has_same_bytes(&self, other: &Self) -> bool {
        (self.fetched_bytes, self.stored_bytes) == (other.fetched_bytes, other.stored_bytes)
    }
}
