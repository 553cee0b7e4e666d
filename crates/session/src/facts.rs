//! What is reported of a job: the shape of `--json`, and what the text is made of.

use std::path::PathBuf;

use larder_engine::{Choice, EngineFacts};
use larder_model::course::{Build, Moment, Phase};
use larder_model::digest::SnapshotId;
use larder_model::history::Entry;
use larder_model::lineage::Lineage;
use larder_model::snapshot::Statistics;
use serde::{Deserialize, Serialize};

use crate::lost::Lost;

/// A job, as far as it has come. Sizes are in bytes, times in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The store's URL.
    pub store: String,
    /// When it began: Unix time in milliseconds.
    #[serde(default)]
    pub started_ms: u64,
    /// The line of snapshots that the job belongs to.
    pub lineage: Lineage,
    /// The engine, if it is one that lives on the volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// The `buildkitd` of ours, beside the engine or alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<Builder>,
    /// Podman, if its storage is on the volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub podman: Option<Podman>,
    /// The directories, if it is those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<PathBuf>,
    /// How long the directories, or podman's storage, were used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_ms: Option<u64>,
    /// The volume.
    pub volume: Volume,
    /// The snapshot that the job started from; `null` for an empty start.
    pub restored: Option<Restored>,
    /// The snapshot that the job ended in; `null` if nothing was saved.
    pub saved: Option<Saved>,
    /// Why nothing was saved, once the job has ended.
    pub not_saved: Option<NotSaved>,
    /// Why the engine's disk failed while the job ran; its results cannot be relied on then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// The base images that moved; the engine was made to forget what they were.
    pub moved: Vec<Moved>,
    /// What was dropped at the end, so that the volume stays below its bound.
    pub dropped: Option<Dropped>,
    /// The builds of the job, as `BuildKit` recorded them.
    pub builds: Vec<Build>,
    /// What was fetched from the store.
    pub fetched: Fetched,
    /// What took how long, in order.
    pub phases: Vec<Phase>,
    /// How many bytes had come and gone as time went by, once the job has ended.
    #[serde(default)]
    pub traffic: Vec<Moment>,
    /// What went wrong without stopping the job.
    pub warnings: Vec<String>,
    /// The wrapped command of `larder run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
}

impl Job {
    /// Adds what the wrapped command came to, before the phases of the way down.
    pub fn add_command(&mut self, command: Command) {
        let down = self.phases.iter().position(|phase| phase.name == "quiesce");
        let down = down.unwrap_or(self.phases.len());
        let before = self.phases[..down].last();
        let phase = Phase {
            name: "command".to_owned(),
            at_ms: before.map_or(0.0, |before| before.at_ms + before.ms),
            ms: command.ms,
        };
        self.phases.insert(down, phase);
        self.command = Some(command);
    }

    /// How long the builds take on an empty engine, as far as that is known: as they did in this job, if it found
    /// nothing and they did not fail, else as in the one that began its line. Of directories and of podman's storage,
    /// how long they were used.
    pub fn cold_build_ms(&self) -> Option<u64> {
        if self.engine.is_none() && self.builder.is_none() {
            let restored = self.restored.as_ref();
            return restored.map_or(self.used_ms, |restored| restored.cold_build_ms);
        }
        let found_nothing = self.builds.iter().all(|build| build.cached_steps == 0);
        let own: u64 = self.builds.iter().map(|build| build.ms).sum();
        let restored = self.restored.as_ref();
        let whole = self.builds.iter().all(|build| !build.failed);
        let is_cold = !self.builds.is_empty() && whole && (restored.is_none() || found_nothing);
        is_cold.then_some(own).or_else(|| restored?.cold_build_ms)
    }

    /// What went wrong with saving, unless nobody wanted it saved.
    pub fn trouble(&self) -> Option<&str> {
        match self.not_saved.as_ref()? {
            NotSaved::Asked => None,
            NotSaved::Because(why) => Some(why),
        }
    }
}

/// Why a job's volume was not saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotSaved {
    /// The `down` that ended the session asked for that.
    Asked,
    /// A doubt or a failure, as part of a sentence.
    Because(String),
}

/// The engine of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Engine {
    /// How it stands beside the machine's own, and why.
    #[serde(flatten)]
    pub choice: Choice,
    /// Its socket.
    pub socket: PathBuf,
    /// What it says of itself.
    #[serde(flatten)]
    pub facts: EngineFacts,
}

/// The `buildkitd` of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builder {
    /// Its version.
    pub version: String,
    /// Its socket.
    pub socket: PathBuf,
    /// The directory with settings of buildx in which it is selected, if buildx could make them.
    pub buildx: Option<PathBuf>,
}

/// Podman as a job has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Podman {
    /// Its version.
    pub version: String,
    /// The driver of its storage.
    pub driver: String,
    /// The file with the settings of its storage.
    pub storage_conf: PathBuf,
    /// Whose it is, by number, if not root's.
    #[serde(default)]
    pub user: Option<u32>,
}

/// The volume of a job.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Volume {
    /// Its size; it is sparse.
    pub bytes: u64,
    /// Whether the loop device does direct I/O.
    pub direct_io: bool,
}

/// A snapshot that was restored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restored {
    /// Its id.
    pub snapshot: SnapshotId,
    /// Its line, which may be another branch's or job's.
    pub lineage: Lineage,
    /// When it was made: Unix time in milliseconds.
    #[serde(skip)]
    pub created_ms: u64,
    /// Its place in its line, where that is signed.
    #[serde(skip)]
    pub(crate) counter: u64,
    /// When it was read, by the machine's uptime.
    #[serde(skip)]
    pub(crate) read_uptime_ms: u64,
    /// How old it was when the job started.
    pub age_ms: u64,
    /// How much of the volume was in use.
    pub used_bytes: u64,
    /// How long its builds take on an empty engine, where that was recorded.
    pub cold_build_ms: Option<u64>,
    /// What the jobs of its line came to, the newest first.
    #[serde(skip)]
    pub(crate) history: Vec<Entry>,
    /// Whether it was saved beside another of its line, by a job that ran at the same time.
    pub sibling: bool,
}

/// A snapshot that was saved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    /// Its id.
    pub snapshot: SnapshotId,
    /// The snapshot that the job started from.
    pub parent: Option<SnapshotId>,
    /// Whether another job had moved the head of the line meanwhile.
    pub sibling: bool,
    /// Counts of blocks, and the bytes that were stored.
    #[serde(flatten)]
    pub statistics: Statistics,
}

/// A tag that is another image today than for the last job, or than in the restored engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The tag, as people write it.
    pub tag: String,
    /// The identity of the engine's image, in short.
    pub old: String,
    /// When that was built.
    pub old_created: Option<String>,
    /// The identity of the registry's image, in short.
    pub new: String,
    /// When that was built.
    pub new_created: Option<String>,
}

/// What was dropped of an engine's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Images.
    pub images: usize,
    /// Records of the build cache.
    pub cache_records: usize,
    /// How much less is in use.
    pub freed_bytes: u64,
    /// How much is.
    pub used_bytes: u64,
}

/// What was fetched from the store.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Fetched {
    /// Requests for ranges of objects.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Bytes that the near tier gave instead.
    #[serde(default)]
    pub near_bytes: u64,
    /// Blocks that the job read.
    pub blocks_read: u64,
}

/// The wrapped command.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Command {
    /// Its exit code as `larder run` passes it on.
    pub exit_code: u8,
    /// How long it ran.
    pub ms: f64,
}
