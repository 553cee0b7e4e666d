//! Asking registries what the base images of plans are.

use std::time::Duration;

use futures_util::future::join_all;
use larder_model::dockerfile::Platform;
use larder_model::plan::{ImageDigests, PlannedImage};
use larder_model::reference::ImageReference;
use larder_registry::{ImageRequest, Registry, Resolved, Target, TargetError};

use super::memory::Memory;
use super::record::{Known, NamedPlan};
use crate::settings::Registries;

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

/// Resolves the images that the plans' targets need, and writes what is known into the plans.
/// `before` is what an earlier job knew.
pub async fn resolve(plans: &mut [NamedPlan], asking: &Asking<'_>, before: &[Known]) -> Answers {
    let memory = Memory::open(&asking.registries.memory);
    let former: Vec<&Known> = memory.known().iter().chain(before).collect();
    let mut images: Vec<PlannedImage> = Vec::new();
    let all = plans.iter().flat_map(|named| &named.plan.images);
    for image in all.filter(|image| image.reached) {
        let same = |known: &PlannedImage| {
            known.reference == image.reference && known.platform == image.platform
        };
        if !images.iter().any(same) {
            images.push(image.clone());
        }
    }
    let mut answers = Answers::default();
    let mut open = Vec::new();
    for image in images {
        let newest = former.iter().filter(|known| known.is_about(&image));
        let newest = newest.max_by_key(|known| known.checked_ms).copied();
        match newest.filter(|known| good_enough(known, asking)) {
            Some(known) => answers.known.push(known.clone()),
            None => open.push((image, newest)),
        }
    }
    if !asking.offline && !open.is_empty() {
        ask(&open, asking, &mut answers).await;
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
    answers
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

async fn ask(open: &[(PlannedImage, Option<&Known>)], asking: &Asking<'_>, answers: &mut Answers) {
    let registry = match asking.registries.client(asking.deadline) {
        Ok((registry, warnings)) => {
            answers.warnings.extend(warnings);
            registry
        }
        Err(error) => {
            let unknown = open.iter().map(|(image, _)| Unknown::new(image, &error));
            answers.unknown.extend(unknown);
            return;
        }
    };
    let (client, now_ms) = (&registry, asking.now_ms);
    let asked = join_all(open.iter().map(|(image, former)| async move {
        let target = match target_of(&image.reference) {
            Ok(target) => target,
            Err(error) => return Err(Unknown::new(image, &error)),
        };
        let still = still(client, &target, *former, now_ms).await;
        Ok((image, target, still))
    }));
    let mut requests = Vec::new();
    let mut asked_for = Vec::new();
    for one in asked.await {
        match one {
            Err(unknown) => answers.unknown.push(unknown),
            Ok((_, _, Some(known))) => answers.known.push(known),
            Ok((image, target, None)) => {
                let platform = platform_of(&image.platform);
                requests.push(ImageRequest { target, platform });
                asked_for.push(image);
            }
        }
    }
    let resolved = registry.resolve_all(&requests).await;
    for (image, resolved) in asked_for.into_iter().zip(resolved) {
        match resolved {
            Ok(resolved) => answers.known.push(learnt(image, &resolved, asking.now_ms)),
            Err(error) => answers.unknown.push(Unknown::new(image, &error)),
        }
    }
}

/// What an earlier job knew, if one HEAD shows that it is so still. On a machine that has never
/// asked for the image this saves fetching its manifest and configuration.
async fn still(
    registry: &Registry,
    target: &Target,
    former: Option<&Known>,
    now_ms: u64,
) -> Option<Known> {
    let former = former?;
    let digest = registry.digest(target).await.ok()?.to_string();
    let known = former
        .digests
        .index
        .as_ref()
        .or(former.digests.manifest.as_ref());
    (known == Some(&digest)).then(|| Known {
        checked_ms: now_ms,
        ..former.clone()
    })
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
