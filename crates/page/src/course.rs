//! What a page tells of a job, by whichever door it came.

use larder_model::course::{Build, Moment, Phase};
use larder_model::lineage::Lineage;
use larder_session::facts::Job;
use serde::{Deserialize, Serialize};

/// A job as a page needs it. Of an engine's API it is a part of what `larder build --json` writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Course {
    /// The store's URL.
    pub store: String,
    /// When it began: Unix time in milliseconds.
    pub started_ms: u64,
    /// The line of documents that the job belongs to.
    pub lineage: Lineage,
    /// Whether these are archives.
    #[serde(default)]
    pub archives: bool,
    /// What it came to, at a glance: what is said, and of what.
    pub summary: Vec<[String; 2]>,
    /// What took how long, in order.
    pub phases: Vec<Phase>,
    /// Its builds.
    pub builds: Vec<Build>,
    /// How many bytes had come and gone as time went by.
    #[serde(default)]
    pub traffic: Vec<Moment>,
}

impl From<Job> for Course {
    fn from(job: Job) -> Self {
        let rows = job.summary().into_iter();
        let known = rows.filter_map(|(what, text)| Some([what.to_owned(), text?]));
        Self {
            summary: known.collect(),
            store: job.store,
            started_ms: job.started_ms,
            lineage: job.lineage,
            archives: false,
            phases: job.phases,
            builds: job.builds,
            traffic: job.traffic,
        }
    }
}
