//! What `larder run --json` writes, as far as the demo and the benchmarks read it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

/// One job's report.
#[derive(Deserialize)]
pub(crate) struct Report {
    /// The snapshot that the job started from; absent on the first machine.
    pub restored: Option<Restored>,
    /// The snapshot that the job published.
    pub saved: Option<Saved>,
    /// Why nothing was published.
    pub not_saved: Option<serde_json::Value>,
    /// What came from the store.
    pub fetched: Fetched,
    /// The job's parts in order.
    pub phases: Vec<Phase>,
    /// What was built in it.
    pub builds: Vec<Build>,
}

/// The snapshot that a job started from.
#[derive(Deserialize)]
pub(crate) struct Restored {
    /// Its id.
    pub snapshot: String,
    /// How long the job's builds took on an empty engine, in milliseconds.
    pub cold_build_ms: Option<f64>,
}

/// One build.
#[derive(Deserialize)]
pub(crate) struct Build {
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// The snapshot that a job published.
#[derive(Deserialize)]
pub(crate) struct Saved {
    /// Its id.
    pub snapshot: String,
    /// Blocks of the volume that are not zero.
    pub used_blocks: u64,
    /// Bytes of all objects that were written for it.
    pub stored_bytes: u64,
}

/// What came from the store.
#[derive(Deserialize)]
pub(crate) struct Fetched {
    /// Requests made.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
}

/// A timed part of a job.
#[derive(Deserialize)]
pub(crate) struct Phase {
    /// What was done.
    pub name: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

impl Report {
    /// Reads the file that `--json` names.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a report of larder", path.display()))
    }

    /// The published snapshot, or larder's reason why there is none.
    pub(crate) fn saved(&self) -> Result<&Saved> {
        self.saved
            .as_ref()
            .with_context(|| format!("larder saved nothing: {}", json!(self.not_saved)))
    }

    /// The net that it tells, in seconds: the builds on an empty engine, less what they took, less all that Larder took.
    pub(crate) fn net(&self) -> Option<f64> {
        let cold = self.restored.as_ref()?.cold_build_ms?;
        let built: f64 = self.builds.iter().map(|build| build.ms).sum();
        let ours = self.phases.iter().filter(|phase| phase.name != "command");
        let ours: f64 = ours.map(|phase| phase.ms).sum();
        Some((cold - built - ours) / 1000.0)
    }

    /// How long all took that came before a phase, in seconds.
    pub(crate) fn seconds_before(&self, name: &str) -> f64 {
        let before = self.phases.iter().take_while(|phase| phase.name != name);
        before.map(|phase| phase.ms / 1000.0).sum()
    }

    /// How long all took that came after a phase, in seconds.
    pub(crate) fn seconds_after(&self, name: &str) -> f64 {
        let after = self.phases.iter().rev();
        let after = after.take_while(|phase| phase.name != name);
        after.map(|phase| phase.ms / 1000.0).sum()
    }

    /// How long a phase took, in seconds, if the job went through it.
    pub(crate) fn seconds(&self, name: &str) -> Option<f64> {
        let phase = self.phases.iter().find(|phase| phase.name == name)?;
        Some(phase.ms / 1000.0)
    }
}
