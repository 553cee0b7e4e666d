//! Plans: what a build depends on, as known before it runs.
//!
//! A plan is kept with each snapshot and compared with the next job's. It holds no secret: the
//! values of build arguments and the contents of files are in it as fingerprints only.

pub mod diff;
pub mod key;
pub mod near;

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::dockerfile::{
    BaseImage, Bases, BuildOptions, ImageUse, NamedContext, Origin, Platform, Sandbox, Stage,
};
use crate::fingerprint::Fingerprint;
use crate::identity::BaseIdentity;
use crate::oci::Digest;
use crate::reference::ImageReference;

/// The version of the plan's JSON form.
const PLAN_VERSION: u32 = 1;

/// What a build depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this JSON form, 1. A plan of another version is not read.
    #[serde(deserialize_with = "known_version")]
    pub version: u32,
    /// The platform that is built for.
    pub platform: Platform,
    /// Every image that the Dockerfile names, reached or not.
    pub images: Vec<PlannedImage>,
    /// The stages that the target reaches, in the file's order.
    pub stages: Vec<Stage>,
    /// The stage that is built, as an index into `stages`.
    pub target: usize,
    /// The build arguments given that the reached stages use.
    pub build_args: BTreeMap<String, Fingerprint>,
    /// The named contexts that the reached stages use.
    pub contexts: BTreeMap<String, NamedContext>,
    /// What the reached stages' commands run in.
    #[serde(default, skip_serializing_if = "Sandbox::is_usual")]
    pub sandbox: Sandbox,
    /// Files that the user says the build depends on, by path relative to the project.
    pub extras: BTreeMap<String, Fingerprint>,
}

/// An image, as far as it was resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedImage {
    /// The full reference.
    pub reference: ImageReference,
    /// The platform that is wanted of it.
    pub platform: Platform,
    /// Whether the target needs it.
    pub reached: bool,
    /// What it is today; nothing if it was not resolved.
    pub identity: Option<BaseIdentity>,
    /// The digests it was resolved to.
    pub digests: ImageDigests,
    /// When it was built, as its configuration says (RFC 3339).
    pub created: Option<String>,
    /// Where it is used.
    pub uses: Vec<ImageUse>,
}

/// The digests of an image, as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageDigests {
    /// Of the index, if the tag names one.
    pub index: Option<Digest>,
    /// Of the manifest of the platform.
    pub manifest: Option<Digest>,
    /// Of the configuration.
    pub config: Option<Digest>,
    /// The chain id of its layers.
    pub chain: Option<Digest>,
}

fn known_version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        PLAN_VERSION => Ok(PLAN_VERSION),
        other => Err(D::Error::custom(format_args!(
            "a plan of version {other}; this program knows {PLAN_VERSION}"
        ))),
    }
}

impl Plan {
    /// The plan of a build whose images are not resolved yet and that has no extra files.
    pub fn new(bases: &Bases, options: &BuildOptions) -> Self {
        Self {
            version: PLAN_VERSION,
            platform: options.platform().clone(),
            images: bases.images.iter().map(PlannedImage::unresolved).collect(),
            stages: reached_stages(bases),
            target: place(bases, bases.target),
            build_args: bases.build_args.clone(),
            contexts: bases.contexts.clone(),
            sandbox: bases.sandbox.clone(),
            extras: BTreeMap::new(),
        }
    }

    /// The image of this name for this platform.
    pub fn image(&self, reference: &ImageReference, platform: &Platform) -> Option<&PlannedImage> {
        let mut images = self.images.iter();
        images.find(|image| image.reference == *reference && image.platform == *platform)
    }
}

impl PlannedImage {
    fn unresolved(image: &BaseImage) -> Self {
        Self {
            reference: image.reference.clone(),
            platform: image.platform.clone(),
            reached: image.reached,
            identity: None,
            digests: ImageDigests::default(),
            created: None,
            uses: image.uses.clone(),
        }
    }
}

/// The reached stages of a file, numbered anew.
fn reached_stages(bases: &Bases) -> Vec<Stage> {
    let stages = bases.reached.iter().map(|index| &bases.stages[*index]);
    let mut stages: Vec<Stage> = stages.cloned().collect();
    for stage in &mut stages {
        let sources = stage.steps.iter_mut().flat_map(|step| &mut step.sources);
        for origin in std::iter::once(&mut stage.base).chain(sources) {
            if let Origin::Stage(index) = origin {
                *index = place(bases, *index);
            }
        }
    }
    stages
}

/// The number that a reached stage has among those that are.
fn place(bases: &Bases, stage: usize) -> usize {
    debug_assert!(bases.reached.contains(&stage), "a reached stage needs it");
    bases.reached.range(..stage).count()
}
