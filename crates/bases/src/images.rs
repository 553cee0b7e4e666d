//! Asking registries what the base images of builds are.

use std::collections::BTreeSet;
use std::time::Duration;

use larder_builds::{Draft, Fault, NamedPlan};
use larder_local::clock::now_ms;
use larder_model::dockerfile::{ImageConfigs, Platform};
use larder_model::identity::InheritedConfig;
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

/// The most time that registries are given by a job, from when they are asked.
pub const ASK_LIMIT: Duration = Duration::from_secs(5);

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
    /// What the project's machines remember, if its store is to be used.
    pub shared: Option<&'a Shared>,
}

impl<'a> Asking<'a> {
    /// As a project's policy says, for a job.
    pub fn by_policy(project: &'a Project, shared: &'a Shared) -> Self {
        let max_age = match project.freshness {
            Freshness::Always => None,
            Freshness::Within(period) => Some(period),
            Freshness::Never => Some(Duration::MAX),
        };
        Self {
            registries: &project.registries,
            max_age,
            offline: project.freshness == Freshness::Never,
            deadline: ASK_LIMIT,
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

/// Plans builds and resolves the images that their targets need. `before` is what an earlier job
/// knew.
pub async fn resolve(
    drafts: &[Draft],
    asking: &Asking<'_>,
    before: &[Known],
) -> Result<Resolution, Fault> {
    let tags = Memory::open(&asking.registries.memory);
    let former: Vec<&Known> = tags.known.iter().chain(before).collect();
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
    for image in plans.iter_mut().flat_map(|named| &mut named.plan.images) {
        let mut known = answers.known.iter();
        if let Some(known) = known.find(|known| image.reached && known.is_about(image)) {
            known.tell(image);
        }
    }
    Ok(Resolution {
        plans,
        answers,
        news,
    })
}

/// When an image was first seen to be what it is.
fn since(known: &Known, former: &[&Known]) -> u64 {
    let about = former.iter().filter(|other| other.is_same_image(known));
    let same = about.filter(|other| other.identity == known.identity);
    same.fold(known.since_ms, |since, other| since.min(other.since_ms))
}

struct Asker<'a> {
    asking: &'a Asking<'a>,
    former: &'a [&'a Known],
    /// Unix time in milliseconds.
    now_ms: u64,
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
            now_ms: now_ms(),
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
        let new = needed.filter(|image| self.asked.insert(key(image)));
        new.cloned().collect()
    }

    /// Learns what the images are, from the memory where that is good enough.
    async fn learn(&mut self, images: Vec<PlannedImage>) {
        let mut open = Vec::new();
        for image in images {
            let former = self.former.iter().filter(|known| known.is_about(&image));
            // What was noted when the clock was ahead must not hide what was noted since.
            let newest = former.max_by_key(|it| (it.checked_ms <= self.now_ms, it.checked_ms));
            let newest = newest.copied();
            match newest.filter(|known| self.is_good_enough(known)) {
                Some(known) => self.recall(&image, known),
                None => open.push(image),
            }
        }
        if !self.asking.offline && !open.is_empty() {
            self.ask(&open).await;
        }
    }

    /// A digest names one image for ever; a tag is good as long as was asked for.
    fn is_good_enough(&self, known: &Known) -> bool {
        let mut max_age = self.asking.max_age.iter();
        let is_young = max_age.any(|max| is_young(self.now_ms, known.checked_ms, *max));
        known.reference.digest().is_some() || is_young
    }

    /// Takes what is remembered of an image.
    fn recall(&mut self, image: &PlannedImage, known: &Known) {
        let folder = self.asking.registries.existing_folder();
        let memory = folder.and_then(registry::Memory::existing);
        let inherited = memory.and_then(|memory| memory.inherited(&known.digests.config?));
        self.answers.add(image, known.clone(), inherited);
    }

    async fn ask(&mut self, images: &[PlannedImage]) {
        if self.registry.is_none() {
            let registries = self.asking.registries;
            self.memory = registries.memory();
            let (registry, warnings) = registries.client(self.asking.deadline, self.memory.clone());
            self.answers.warnings.extend(warnings);
            self.registry = Some(registry);
        }
        let requests = images.iter().map(|image| ImageRequest {
            target: Target::of(&image.reference),
            platform: image.platform.clone(),
        });
        let requests: Vec<ImageRequest> = requests.collect();
        self.recall_shared(&requests).await;
        let left = self.ends.saturating_duration_since(Instant::now());
        let registry = self.registry.as_ref().expect("it was made above");
        let resolved = registry.resolve_within(&requests, left).await;
        for (image, resolved) in images.iter().zip(resolved) {
            match resolved {
                Ok(resolved) => {
                    let known = learnt(image, &resolved, self.now_ms);
                    self.answers.add(image, known, Some(resolved.inherited));
                }
                Err(error) => self.answers.unknown.push(Unknown {
                    reference: image.reference.clone(),
                    platform: image.platform.clone(),
                    why: error.to_string(),
                }),
            }
        }
    }

    /// Takes what the store has, if this machine asks for an image for the first time.
    async fn recall_shared(&mut self, requests: &[ImageRequest]) {
        let (Some(shared), Some(memory)) = (self.asking.shared, &self.memory) else {
            return;
        };
        let mut targets = requests.iter().map(|request| &request.target);
        if self.shared.is_none() && targets.any(|target| !memory.has_seen(target)) {
            self.shared = shared.recall(memory).await;
        }
    }

    /// What is to be written to the store. If the store was read, that is all that it lacks; else what has
    /// changed since this machine last asked.
    fn news(&mut self) -> Option<News> {
        let shared = self.asking.shared?;
        let memory = self.memory.as_ref()?;
        let stored = self.shared.take();
        let mut learnt: Vec<&Known> = self.answers.known.iter().collect();
        if stored.is_none() {
            learnt.retain(|one| {
                let mut same = self.former.iter().filter(|other| other.is_same_image(one));
                !same.any(|other| other.digests == one.digests)
            });
        }
        shared.news(&learnt, memory, stored)
    }
}

/// How old an answer is that was noted when the clock was ahead, nobody knows: it may be years.
fn is_young(now_ms: u64, checked_ms: u64, max_age: Duration) -> bool {
    let age = now_ms.checked_sub(checked_ms);
    age.is_some_and(|age| Duration::from_millis(age) <= max_age)
}

fn key(image: &PlannedImage) -> (ImageReference, Platform) {
    (image.reference.clone(), image.platform.clone())
}

fn learnt(image: &PlannedImage, resolved: &Resolved, now_ms: u64) -> Known {
    let (reference, platform) = key(image);
    Known {
        reference,
        platform,
        identity: resolved.identity,
        digests: ImageDigests {
            index: resolved.index,
            manifest: Some(resolved.manifest),
            config: Some(resolved.config),
            chain: resolved.chain,
        },
        created: resolved.created.clone(),
        since_ms: now_ms,
        checked_ms: now_ms,
    }
}

impl Answers {
    fn add(&mut self, image: &PlannedImage, known: Known, inherited: Option<InheritedConfig>) {
        self.known.push(known);
        if let Some(inherited) = inherited {
            self.configs.insert(key(image), inherited);
        }
    }
}

impl Unknown {
    /// Whether this is about the image.
    pub fn is_about(&self, image: &PlannedImage) -> bool {
        self.reference == image.reference && self.platform == image.platform
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_by_a_clock_that_was_ahead_is_asked_again() {
        let day = Duration::from_secs(24 * 3600);
        for (checked_ms, expected) in [
            (1_000_000_000, true),
            (1_000_000_000 - 24 * 3_600_000, true),
            (1_000_000_000 - 24 * 3_600_000 - 1, false),
            (1_000_000_001, false),
            (u64::MAX, false),
        ] {
            assert_eq!(is_young(1_000_000_000, checked_ms, day), expected);
        }
    }
}
