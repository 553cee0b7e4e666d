//! A job's plans, as its snapshot keeps them.

use larder_builds::NamedPlan;
use larder_model::dockerfile::Platform;
use larder_model::identity::BaseIdentity;
use larder_model::plan::{ImageDigests, PlannedImage, near};
use larder_model::reference::ImageReference;
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

    pub(crate) fn is_same_image(&self, other: &Self) -> bool {
        self.reference == other.reference && self.platform == other.platform
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

    /// The record that a snapshot or an archive keeps, if this program understands it.
    pub fn from_value(value: &serde_json::Value) -> Option<Self> {
        let record = Self::deserialize(value).ok()?;
        (record.version == VERSION).then_some(record)
    }

    /// As a snapshot or an archive keeps it.
    pub fn to_value(&self) -> Result<serde_json::Value, TooLong> {
        let value = serde_json::to_value(self).expect("a record has a JSON form");
        let bytes = value.to_string().len();
        if bytes > RECORD_MAX_BYTES {
            return Err(TooLong { bytes });
        }
        Ok(value)
    }

    /// How many instructions builds of these plans run again after this job's.
    pub(crate) fn run_again(&self, plans: &[NamedPlan]) -> usize {
        let only = plans.len() == 1;
        let each = plans.iter().map(|named| {
            let before = self.counterpart(named, only);
            near::run_again(before.map(|before| &before.plan), &named.plan)
        });
        each.sum()
    }

    /// The plan to compare `plan` with: of the same build, or the only one of both jobs.
    pub fn counterpart(&self, plan: &NamedPlan, only: bool) -> Option<&NamedPlan> {
        let mut named = self.plans.iter();
        let same = named.find(|other| {
            other.name == plan.name
                && other.file == plan.file
                && other.plan.platform == plan.plan.platform
        });
        match self.plans.as_slice() {
            [the_only] if only => Some(the_only),
            _ => same,
        }
    }
}
