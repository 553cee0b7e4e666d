//! Asking registries what the base images of builds are.

use std::collections::BTreeSet;
use std::time::Duration;

use larder_model::dockerfile::{ImageConfigs, Platform};
use larder_model::plan::{ImageDigests, PlannedImage};
use larder_model::reference::ImageReference;
use larder_registry::{ImageRequest, Registry, Resolved, Target, TargetError};
use tokio::time::Instant;

use super::draft::{self, Draft};
use super::fault::Fault;
use super::memory::Memory;
use super::record::{Known, NamedPlan};
use crate::settings::Registries;

/// Plans are made anew when base images are known, because their `ONBUILD` instructions may name
/// more images. Those are copied or mounted from and run no instructions of their own (`BuildKit`
/// refuses `ONBUILD FROM`), so the second round is the last one that can find any.
const ROUNDS_MAX: usize = 3;

/// How to ask.
#[derive(Debug, Clone)]
pub struct Asking<'a> {
    /// How registries are reached, and the folder of what they said.
    pub registries: &'a Registries,
    /// What was said this long ago is good enough.
    pub max_age: Option<Duration>,
    /// Ask nobody.
    pub offline: bool,
    /// The most time that it may take.
    pub deadline: Duration,
    /// Unix time in milliseconds.
    pub now_ms: u64,
}

/// What is known after asking.
#[derive(Debug, Default)]
pub struct Answers {
    /// The images that are known.
    pub known: Vec<Known>,
    /// The images that are not, and why.
    pub unknown: Vec<Unknown>,
    /// What was left out on the way.
    pub warnings: Vec<String>,
    /// What the known images hand down to those built from them.
    pub configs: ImageConfigs,
}

/// An image that could not be resolved.
#[derive(Debug)]
pub struct Unknown {
    /// Its full name.
    pub reference: ImageReference,
    /// The platform.
    pub platform: Platform,
    /// Why.
    pub why: String,
}

/// A reference as the registry client names it.
pub fn target_of(reference: &ImageReference) -> Result<Target, TargetError> {
    Target::from_parts(
        reference.domain(),
        reference.path(),
        reference.tag(),
        reference.digest(),
    )
}

/// A platform as the registry client names it.
pub fn platform_of(platform: &Platform) -> larder_registry::Platform {
    larder_registry::Platform::new(&platform.os, &platform.architecture, &platform.variant)
}

/// What the client found, as a plan holds it.
pub fn digests_of(resolved: &Resolved) -> ImageDigests {
    ImageDigests {
        index: resolved.index.as_ref().map(ToString::to_string),
        manifest: Some(resolved.manifest.to_string()),
        config: Some(resolved.config.to_string()),
        chain: resolved.chain.as_ref().map(ToString::to_string),
    }
}

/// Plans builds and resolves the images that their targets need. `before` is what an earlier job
/// knew.
pub async fn resolve(
    drafts: &[Draft],
    asking: &Asking<'_>,
    before: &[Known],
) -> Result<(Vec<NamedPlan>, Answers), Fault> {
    let memory = Memory::open(&asking.registries.memory);
    let former: Vec<&Known> = memory.known().iter().chain(before).collect();
    let mut asker = Asker {
        asking,
        former: &former,
        ends: Instant::now() + asking.deadline,
        registry: None,
        asked: BTreeSet::new(),
        answers: Answers::default(),
    };
    let mut plans = draft::plans(drafts, &ImageConfigs::new())?;
    for _ in 0..ROUNDS_MAX {
        let open = asker.open(&plans);
        if open.is_empty() {
            break;
        }
        asker.learn(open).await;
        plans = draft::plans(drafts, &asker.answers.configs)?;
    }
    let mut answers = asker.answers;
    if !asking.offline {
        for known in &mut answers.known {
            known.since_ms = since(known, &former);
        }
        memory.learn(&answers.known);
    }
    let images = plans.iter_mut().flat_map(|named| &mut named.plan.images);
    for image in images.filter(|image| image.reached) {
        if let Some(known) = answers.known.iter().find(|known| known.is_about(image)) {
            known.tell(image);
        }
    }
    Ok((plans, answers))
}

/// A digest names one image for ever; a tag is good as long as was asked for.
fn good_enough(known: &Known, asking: &Asking<'_>) -> bool {
    let age = asking.now_ms.saturating_sub(known.checked_ms);
    let young = |max: Duration| u128::from(age) <= max.as_millis();
    known.reference.digest().is_some() || asking.max_age.is_some_and(young)
}

/// Since when an image has been what it is, as far as anybody saw.
fn since(known: &Known, former: &[&Known]) -> u64 {
    let same = former.iter().filter(|other| {
        other.reference == known.reference
            && other.platform == known.platform
            && other.identity == known.identity
    });
    same.map(|other| other.since_ms)
        .fold(known.since_ms, u64::min)
}

/// One call of [`resolve`].
struct Asker<'a> {
    asking: &'a Asking<'a>,
    former: &'a [&'a Known],
    ends: Instant,
    /// Made when the first registry must be asked.
    registry: Option<Registry>,
    asked: BTreeSet<(ImageReference, Platform)>,
    answers: Answers,
}

impl Asker<'_> {
    /// The images that the plans' targets need and that were not looked at yet.
    fn open(&mut self, plans: &[NamedPlan]) -> Vec<PlannedImage> {
        let images = plans.iter().flat_map(|named| &named.plan.images);
        let needed = images.filter(|image| image.reached);
        let new = needed.filter(|image| {
            let key = (image.reference.clone(), image.platform.clone());
            self.asked.insert(key)
        });
        new.cloned().collect()
    }

    /// Learns what the images are, from the memory where that is good enough.
    async fn learn(&mut self, images: Vec<PlannedImage>) {
        let mut open = Vec::new();
        for image in images {
            let former = self.former.iter().filter(|known| known.is_about(&image));
            let newest = former.max_by_key(|known| known.checked_ms).copied();
            match newest.filter(|known| good_enough(known, self.asking)) {
                Some(known) => self.recall(known),
                None => open.push(image),
            }
        }
        if !self.asking.offline && !open.is_empty() {
            self.ask(&open).await;
        }
    }

    /// Takes what is remembered of an image.
    fn recall(&mut self, known: &Known) {
        let config = known.digests.config.as_deref();
        let inherited = config.and_then(|digest| self.asking.registries.inherited(digest));
        if let Some(inherited) = inherited {
            let key = (known.reference.clone(), known.platform.clone());
            self.answers.configs.insert(key, inherited);
        }
        self.answers.known.push(known.clone());
    }

    async fn ask(&mut self, images: &[PlannedImage]) {
        let registry = match self.registry.take() {
            Some(registry) => registry,
            None => match self.asking.registries.client(self.asking.deadline) {
                Ok((registry, warnings)) => {
                    self.answers.warnings.extend(warnings);
                    registry
                }
                Err(error) => {
                    let unknown = images.iter().map(|image| Unknown::new(image, &error));
                    self.answers.unknown.extend(unknown);
                    return;
                }
            },
        };
        let mut requests = Vec::new();
        let mut asked_for = Vec::new();
        for image in images {
            match target_of(&image.reference) {
                Err(error) => self.answers.unknown.push(Unknown::new(image, &error)),
                Ok(target) => {
                    let platform = platform_of(&image.platform);
                    requests.push(ImageRequest { target, platform });
                    asked_for.push(image);
                }
            }
        }
        let left = self.ends.saturating_duration_since(Instant::now());
        let resolved = registry.resolve_within(&requests, left).await;
        for (image, resolved) in asked_for.into_iter().zip(resolved) {
            match resolved {
                Ok(resolved) => {
                    let known = learnt(image, &resolved, self.asking.now_ms);
                    self.answers.known.push(known);
                    let key = (image.reference.clone(), image.platform.clone());
                    self.answers.configs.insert(key, resolved.inherited);
                }
                Err(error) => self.answers.unknown.push(Unknown::new(image, &error)),
            }
        }
        self.registry = Some(registry);
    }
}

fn learnt(image: &PlannedImage, resolved: &Resolved, now_ms: u64) -> Known {
    Known {
        reference: image.reference.clone(),
        platform: image.platform.clone(),
        identity: resolved.identity,
        digests: digests_of(resolved),
        created: resolved.created.clone(),
        since_ms: now_ms,
        checked_ms: now_ms,
    }
}

impl Unknown {
    fn new(image: &PlannedImage, why: &dyn std::fmt::Display) -> Self {
        Self {
            reference: image.reference.clone(),
            platform: image.platform.clone(),
            why: why.to_string(),
        }
    }

    /// Whether this is about the image.
    pub fn is_about(&self, image: &PlannedImage) -> bool {
        self.reference == image.reference && self.platform == image.platform
    }
}
