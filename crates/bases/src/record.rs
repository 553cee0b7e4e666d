//! A job's plans, as its snapshot keeps them.

use larder_builds::NamedPlan;
use larder_model::dockerfile::Platform;
use larder_model::identity::BaseIdentity;
use larder_model::plan::{ImageDigests, PlannedImage};
use larder_model::reference::ImageReference;
use larder_model::snapshot::Snapshot;
use serde::{Deserialize, Serialize};

/// The version of the record's JSON form. A record of another version is as good as none.
const VERSION: u32 = 1;
/// A longer record is left out of its snapshot: listing a store reads the records of all snapshots. The
/// plan of a 200-line Dockerfile has some 40 kB.
const RECORD_MAX_BYTES: usize = 1 << 20;

/// What a job's builds depended on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Its builds.
    pub plans: Vec<NamedPlan>,
    /// The images that registries were asked for.
    pub images: Vec<Known>,
}

/// What a registry said of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its full name.
    pub reference: ImageReference,
    /// The platform.
    pub platform: Platform,
    /// What it was.
    pub identity: BaseIdentity,
    /// The digests it was resolved to.
    pub digests: ImageDigests,
    /// When it was built, as its configuration says (RFC 3339).
    pub created: Option<String>,
    /// When it was first seen to be that (Unix time in milliseconds).
    pub since_ms: u64,
    /// When the registry was last asked.
    pub checked_ms: u64,
}

/// A record that no snapshot keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the plan is not saved: it has {bytes} bytes, more than {RECORD_MAX_BYTES}")]
pub struct TooLong {
    bytes: usize,
}

impl Known {
    /// Whether this is about the image.
    pub fn is_about(&self, image: &PlannedImage) -> bool {
        self.reference == image.reference && self.platform == image.platform
    }

    /// Writes what is known into a plan's image.
    pub fn tell(&self, image: &mut PlannedImage) {
        image.identity = Some(self.identity);
        image.digests = self.digests;
        image.created.clone_from(&self.created);
    }
}

impl Record {
    /// A record of plans and of what is known of their images.
    pub fn new(plans: Vec<NamedPlan>, images: Vec<Known>) -> Self {
        Self {
            version: VERSION,
            plans,
            images,
        }
    }

    /// The record that a snapshot keeps, if it keeps one that this program understands.
    pub fn of(snapshot: &Snapshot) -> Option<Self> {
        Self::from_value(snapshot.plan.as_ref()?)
    }

    /// A record that is kept elsewhere, if this program understands it.
    pub fn from_value(value: &serde_json::Value) -> Option<Self> {
        let record = Self::deserialize(value).ok()?;
        (record.version == VERSION).then_some(record)
    }

    /// As a snapshot keeps it.
    pub fn to_value(&self) -> Result<serde_json::Value, TooLong> {
        let text = serde_json::to_vec(self).expect("a record has a JSON form");
        if text.len() > RECORD_MAX_BYTES {
            return Err(TooLong { bytes: text.len() });
        }
        Ok(serde_json::to_value(self).expect("a record has a JSON form"))
    }

    /// The plan to compare `plan` with: of the same build, or the only one of both jobs.
    pub fn counterpart(&self, plan: &NamedPlan, only: bool) -> Option<&NamedPlan> {
        let same = |other: &&NamedPlan| {
            other.name == plan.name
                && other.file == plan.file
                && other.plan.platform == plan.plan.platform
        };
        let the_only = || self.plans.first().filter(|_| only && self.plans.len() == 1);
        self.plans.iter().find(same).or_else(the_only)
    }
}
