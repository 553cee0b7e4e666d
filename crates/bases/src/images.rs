//! Asking registries what the base images of builds are.

use std::collections::BTreeSet;
use std::time::Duration;

use larder_builds::{Draft, Fault, NamedPlan};
use larder_local::clock::now_ms;
use larder_model::dockerfile::{ImageConfigs, Platform};
use larder_model::images::RememberedImage;
use larder_model::plan::{ImageDigests, PlannedImage};
use larder_model::reference::ImageReference;
use larder_registry::{self as registry, ImageRequest, Registry, Resolved, Target};
use tokio::time::Instant;

use crate::memory::Memory;
use crate::record::Known;
use crate::registries::Registries;
use crate::shared::{News, Shared};
use crate::{Freshness, Project};

/// Plans are made anew when base images are known, because their `ONBUILD` instructions may name
/// more images. Those are copied or mounted from and run no instructions of their own (`BuildKit`
/// refuses `ONBUILD FROM`), so the second round is the last one that can find any.
const ROUNDS_MAX: usize = 3;

/// How to ask.
#[derive(Debug, Clone)]
pub struct Asking<'a> {
    /// How registries are reached, and the folder of what they said.
    pub registries: &'a Registries,
    /// An answer that is no older than this is used again.
    pub max_age: Option<Duration>,
    /// Ask nobody.
    pub offline: bool,
    /// The most time that it may take.
    pub deadline: Duration,
    /// Unix time in milliseconds.
    pub now_ms: u64,
    /// What the project's machines remember, if its store is to be used.
    pub shared: Option<&'a Shared>,
}

impl<'a> Asking<'a> {
    /// As a project's policy says, for a job that does not wait longer than `deadline`.
    pub fn by_policy(project: &'a Project, shared: &'a Shared, deadline: Duration) -> Self {
        let max_age = match project.freshness {
            Freshness::Always => None,
            Freshness::Within(period) => Some(period),
            Freshness::Never => Some(Duration::MAX),
        };
        Self {
            registries: &project.registries,
            max_age,
            offline: project.freshness == Freshness::Never,
            deadline,
            now_ms: now_ms(),
            shared: Some(shared),
        }
    }
}

/// Builds with what is known of their images.
#[derive(Debug)]
pub struct Resolution {
    /// Their plans.
    pub plans: Vec<NamedPlan>,
    /// What is known.
    pub answers: Answers,
    /// What other machines would like to know too.
    pub news: Option<News>,
}

/// What is known after asking.
#[derive(Debug, Default)]
pub struct Answers {
    /// The images that are known.
    pub known: Vec<Known>,
    /// The images that are not, and why.
    pub unknown: Vec<Unknown>,
    /// What could not be used on the way, such as a broken `config.json`.
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

/// What the client found, as a plan holds it.
pub fn digests_of(resolved: &Resolved) -> ImageDigests {
    ImageDigests {
        index: resolved.index,
        manifest: Some(resolved.manifest),
        config: Some(resolved.config),
        chain: resolved.chain,
    }
}

/// Plans builds and resolves the images that their targets need. `before` is what an earlier job
/// knew.
pub async fn resolve(
    drafts: &[Draft],
    asking: &Asking<'_>,
    before: &[Known],
) -> Result<Resolution, Fault> {
    let tags = Memory::open(&asking.registries.memory);
    let former: Vec<&Known> = tags.known().iter().chain(before).collect();
    let mut asker = Asker::new(asking, &former);
    let mut plans = larder_builds::plans(drafts, &ImageConfigs::new())?;
    for _ in 0..ROUNDS_MAX {
        let open = asker.open(&plans);
        if open.is_empty() {
            break;
        }
        asker.learn(open).await;
        plans = larder_builds::plans(drafts, &asker.answers.configs)?;
    }
    let news = asker.news();
    let mut answers = asker.answers;
    if !asking.offline {
        for known in &mut answers.known {
            known.since_ms = since(known, &former);
        }
        tags.learn(&answers.known);
    }
    let images = plans.iter_mut().flat_map(|named| &mut named.plan.images);
    for image in images.filter(|image| image.reached) {
        if let Some(known) = answers.known.iter().find(|known| known.is_about(image)) {
            known.tell(image);
        }
    }
    Ok(Resolution {
        plans,
        answers,
        news,
    })
}

/// A digest names one image for ever; a tag is good as long as was asked for.
fn good_enough(known: &Known, asking: &Asking<'_>) -> bool {
    let age = asking.now_ms.saturating_sub(known.checked_ms);
    let young = |max: Duration| u128::from(age) <= max.as_millis();
    known.reference.digest().is_some() || asking.max_age.is_some_and(young)
}

/// When an image was first seen to be what it is.
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
    memory: Option<registry::Memory>,
    /// What the store has, if it was read.
    shared: Option<Vec<RememberedImage>>,
    asked: BTreeSet<(ImageReference, Platform)>,
    answers: Answers,
}

impl<'a> Asker<'a> {
    fn new(asking: &'a Asking<'a>, former: &'a [&'a Known]) -> Self {
        Self {
            asking,
            former,
            ends: Instant::now() + asking.deadline,
            registry: None,
            memory: None,
            shared: None,
            asked: BTreeSet::new(),
            answers: Answers::default(),
        }
    }

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
        let config = known.digests.config;
        let inherited =
            config.and_then(|digest| self.asking.registries.inherited(&digest.to_string()));
        if let Some(inherited) = inherited {
            let key = (known.reference.clone(), known.platform.clone());
            self.answers.configs.insert(key, inherited);
        }
        self.answers.known.push(known.clone());
    }

    /// The client.
    fn registry(&mut self) -> Registry {
        if let Some(registry) = self.registry.take() {
            return registry;
        }
        let registries = self.asking.registries;
        self.memory = registries.memory();
        let (registry, warnings) = registries.client(self.asking.deadline, self.memory.clone());
        self.answers.warnings.extend(warnings);
        registry
    }

    async fn ask(&mut self, images: &[PlannedImage]) {
        let registry = self.registry();
        let requests = images.iter().map(|image| ImageRequest {
            target: Target::of(&image.reference),
            platform: image.platform.clone(),
        });
        let requests: Vec<ImageRequest> = requests.collect();
        self.recall_shared(&requests).await;
        let left = self.ends.saturating_duration_since(Instant::now());
        let resolved = registry.resolve_within(&requests, left).await;
        for (image, resolved) in images.iter().zip(resolved) {
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

    /// Takes what the store has, if this machine asks for an image for the first time.
    async fn recall_shared(&mut self, requests: &[ImageRequest]) {
        let (Some(shared), Some(memory)) = (self.asking.shared, &self.memory) else {
            return;
        };
        let new = |request: &ImageRequest| !memory.has_seen(&request.target);
        if self.shared.is_none() && requests.iter().any(new) {
            self.shared = shared.recall(memory).await;
        }
    }

    /// What is to be written to the store. If the store was read, that is all that it lacks; else what has
    /// changed since this machine last asked.
    fn news(&mut self) -> Option<News> {
        let shared = self.asking.shared?;
        let memory = self.memory.as_ref()?;
        let known = self.shared.take();
        let changed = |one: &&Known| {
            let same = |former: &&Known| {
                former.reference == one.reference
                    && former.platform == one.platform
                    && former.digests == one.digests
            };
            known.is_some() || !self.former.iter().any(same)
        };
        let learnt = self.answers.known.iter().filter(changed);
        let learnt: Vec<Known> = learnt.cloned().collect();
        shared.news(&learnt, memory, known)
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
