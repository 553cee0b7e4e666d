//! What the jobs of a line came to. Documents are removed after some time, so each snapshot carries the figures
//! of those before it: one document is enough for a chart.

use serde::{Deserialize, Serialize};

use crate::digest::SnapshotId;

/// Jobs before it that a snapshot tells of: a month of working days, in some 8 KiB.
pub const PAST_MAX: usize = 24;

/// What a job came to, as far as it was known when its snapshot was written. Times are in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Steps of all builds that `BuildKit` recorded.
    pub steps: u64,
    /// Those of them that were in the cache.
    pub cached_steps: u64,
    /// How long the builds took.
    pub build_ms: u64,
    /// What Larder took until the engine was there.
    pub start_ms: u64,
    /// What it took at the end, but for publishing.
    pub end_ms: u64,
    /// From the first to the last moment.
    pub job_ms: u64,
    /// What was fetched from the store.
    pub fetched_bytes: u64,
    /// In how many requests.
    pub requests: u64,
}

/// One job of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it saved.
    pub snapshot: SnapshotId,
    /// When that was made: Unix time in milliseconds.
    pub created_ms: u64,
    /// Blocks of the volume that are not zero.
    pub used_blocks: u64,
    /// Bytes of all objects written for it.
    pub stored_bytes: u64,
    /// How long the builds take on an empty engine, where that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_build_ms: Option<u64>,
    /// What the job came to.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What a line tells after one more job, which may tell nothing: the newest first.
pub fn carried(own: Option<Entry>, past: &[Entry]) -> Vec<Entry> {
    let all = own.into_iter().chain(past.iter().copied());
    all.take(PAST_MAX).collect()
}

/// Entries that several snapshots tell, each once, the oldest first.
pub fn told(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut all: Vec<Entry> = entries.into_iter().collect();
    all.sort_by_key(|entry| (entry.created_ms, entry.snapshot));
    all.dedup_by_key(|entry| entry.snapshot);
    all
}
