//! Plans: what a build depends on, as known before it runs.
//!
//! A plan is kept with each snapshot and compared with the next job's. It holds no secret: the
//! values of build arguments and the contents of files are in it as fingerprints only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dockerfile::{
    BaseImage, Bases, BuildOptions, ImageUse, NamedContext, Origin, Platform, Stage, Step,
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
    /// The version of this JSON form, 1.
    pub version: u32,
    /// The platform that is built for.
    pub platform: Platform,
    /// Every image that the Dockerfile names, reached or not.
    pub images: Vec<PlannedImage>,
    /// The stages that the target reaches, in the file's order.
    pub stages: Vec<PlannedStage>,
    /// The stage that is built, as an index into `stages`.
    pub target: usize,
    /// The build arguments given that the reached stages use.
    pub build_args: BTreeMap<String, Fingerprint>,
    /// The named contexts that the reached stages use.
    pub contexts: BTreeMap<String, NamedContext>,
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

/// A reached stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStage {
    /// The name given by `AS`, or `stage-N`.
    pub label: String,
    /// The line of its `FROM`.
    pub line: u32,
    /// What it starts from; stages are indices into [`Plan::stages`].
    pub base: Origin,
    /// The values that its `ARG` instructions get from outside.
    pub arguments: BTreeMap<String, Fingerprint>,
    /// Its instructions.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The plan of a build whose images are not resolved yet and that has no extra files.
    pub fn new(bases: &Bases, options: &BuildOptions) -> Self {
        let reached = Reached::of(bases);
        Self {
            version: PLAN_VERSION,
            platform: options.platform().clone(),
            images: bases.images.iter().map(PlannedImage::unresolved).collect(),
            stages: reached.stages(),
            target: reached.place(bases.target),
            build_args: bases.build_args.clone(),
            contexts: bases.contexts.clone(),
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
struct Reached<'a> {
    bases: &'a Bases,
    /// Their places in the file, in order.
    kept: Vec<usize>,
}

impl<'a> Reached<'a> {
    fn of(bases: &'a Bases) -> Self {
        let stages = bases.stages.iter().enumerate();
        let kept = stages.filter(|(_, stage)| stage.reached);
        Self {
            bases,
            kept: kept.map(|(index, _)| index).collect(),
        }
    }

    fn place(&self, stage: usize) -> usize {
        self.kept
            .binary_search(&stage)
            .expect("what a reached stage needs is reached")
    }

    fn origin(&self, origin: &Origin) -> Origin {
        match origin {
            Origin::Stage(index) => Origin::Stage(self.place(*index)),
            other => other.clone(),
        }
    }

    fn stages(&self) -> Vec<PlannedStage> {
        let stages = self.kept.iter().map(|index| &self.bases.stages[*index]);
        stages.map(|stage| self.stage(stage)).collect()
    }

    fn stage(&self, stage: &Stage) -> PlannedStage {
        PlannedStage {
            label: stage.label.clone(),
            line: stage.line,
            base: self.origin(&stage.base),
            arguments: stage.arguments.clone(),
            steps: stage.steps.iter().map(|step| self.step(step)).collect(),
        }
    }

    fn step(&self, step: &Step) -> Step {
        let sources = step.sources.iter().map(|source| self.origin(source));
        Step {
            line: step.line,
            keyword: step.keyword.clone(),
            text: step.text.clone(),
            sources: sources.collect(),
            context_paths: step.context_paths.clone(),
        }
    }
}
