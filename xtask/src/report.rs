//! What `larder run --json` writes, as far as the demo and the benchmarks read it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One job's report.
#[derive(Deserialize)]
pub struct Report {
    /// The snapshot that the job started from; absent on the first machine.
    pub restored: Option<Snapshot>,
    /// The snapshot that the job published.
    pub saved: Option<Snapshot>,
    /// The job's parts in order.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// What came from the store.
    #[serde(default)]
    pub fetched: Traffic,
    /// What went to the store.
    #[serde(default)]
    pub stored: Traffic,
}

/// A snapshot in a report.
#[derive(Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
}

/// A timed part of a job.
#[derive(Deserialize)]
pub struct Phase {
    /// What was done.
    pub name: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// Requests and bytes in one direction.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Requests to the store.
    pub requests: u64,
    /// Bytes as they rest in the store.
    pub bytes: u64,
}

impl Report {
    /// Reads the file that `--json` names.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a report of larder", path.display()))
    }

    /// How long the phases took whose name is `name`, in seconds.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        let mut phases = self
            .phases
            .iter()
            .filter(|phase| phase.name == name)
            .peekable();
        phases.peek()?;
        Some(phases.map(|phase| phase.ms / 1000.0).sum())
    }
}
