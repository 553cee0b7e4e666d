//! Keys: what a plan is called in a cache, from the exact name to broader and broader ones.
//!
//! # Data format
//!
//! A key's text is `larder1-PROJECT-BASES-BUILD-EXACT`. The three hashes are BLAKE3 in key
//! derivation mode over JSON without blanks, each including the one before it, cut to 16, 16 and
//! 32 hexadecimal digits:
//!
//! - BASES: platform, reference and identity of the images that the target reaches;
//! - BUILD: BASES, the front end's image, the reached stages and their arguments, the options that their
//!   commands run with;
//! - EXACT: BUILD and the extra files.
//!
//! Several builds share one key: each of its hashes is that of the list of theirs, in the order of
//! their bytes.
//!
//! A CI cache that restores by prefix thus finds the nearest older entry with the rungs of the
//! ladder: `larder1-shop-BASES-BUILD-`, `larder1-shop-BASES-`, `larder1-shop-`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dockerfile::{ImageUse, NamedContext, Origin, Sandbox, Stage, UseKind};
use crate::fingerprint::Fingerprint;
use crate::plan::{Plan, PlannedImage};

/// The version of the key's text and of what is hashed.
const VERSION: u32 = 1;

/// The names of a plan in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    bases: Fingerprint,
    build: Fingerprint,
    exact: Fingerprint,
}

impl Key {
    /// The key of a plan. It depends on nothing but the plan.
    pub fn of(plan: &Plan) -> Self {
        let bases = Fingerprint::derived("larder key v1 bases", &BasesMaterial::of(plan));
        let build = Fingerprint::derived("larder key v1 build", &BuildMaterial::of(plan, bases));
        let exact = Fingerprint::derived("larder key v1 exact", &(build, &plan.extras));
        Self {
            bases,
            build,
            exact,
        }
    }

    /// The key of several builds at once, in whatever order they are given.
    pub fn of_all(plans: &[Plan]) -> Self {
        let mut keys: Vec<Self> = plans.iter().map(Self::of).collect();
        if let [key] = keys[..] {
            return key;
        }
        keys.sort_by_key(|key| (key.bases, key.build, key.exact));
        Self {
            bases: hash_all("larder key v1 bases of several", &keys, |key| key.bases),
            build: hash_all("larder key v1 build of several", &keys, |key| key.build),
            exact: hash_all("larder key v1 exact of several", &keys, |key| key.exact),
        }
    }

    /// The whole text of the key, which starts with every rung of [`Key::ladder`] but the first.
    pub fn text(&self, project: &str) -> String {
        let exact = self.exact.to_string();
        format!("{}{}", self.rung(project, 2), &exact[..32])
    }

    /// From the exact key to the broadest prefix.
    pub fn ladder(&self, project: &str) -> Vec<String> {
        let broader = (0..=2).rev().map(|parts| self.rung(project, parts));
        std::iter::once(self.text(project)).chain(broader).collect()
    }

    fn rung(&self, project: &str, parts: usize) -> String {
        // What CI caches allow in a key; `-` is the separator.
        let project = project.replace(
            |c: char| !c.is_ascii_alphanumeric() && !"._".contains(c),
            "_",
        );
        let mut text = format!("larder{VERSION}-{project}-");
        for hash in [self.bases, self.build].iter().take(parts) {
            text.push_str(&hash.to_string()[..16]);
            text.push('-');
        }
        text
    }
}

fn hash_all(context: &str, keys: &[Key], part: fn(&Key) -> Fingerprint) -> Fingerprint {
    Fingerprint::derived(context, &keys.iter().map(part).collect::<Vec<_>>())
}

/// How an image enters a key: by its identity, else by its digest, else by its name.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct ImageMaterial {
    name: String,
    platform: String,
}

impl ImageMaterial {
    fn of(image: &PlannedImage) -> Self {
        let name = match (&image.identity, image.reference.digest()) {
            (Some(identity), _) => identity.to_string(),
            (None, Some(digest)) => digest.to_string(),
            (None, None) => image.reference.to_string(),
        };
        Self {
            name,
            platform: image.platform.to_string(),
        }
    }
}

/// The images that have a use of this kind.
fn images(plan: &Plan, is_meant: fn(&ImageUse) -> bool) -> impl Iterator<Item = ImageMaterial> {
    let used = plan.images.iter();
    used.filter(move |image| image.uses.iter().any(is_meant))
        .map(ImageMaterial::of)
}

#[derive(Serialize)]
struct BasesMaterial {
    platform: String,
    images: Vec<ImageMaterial>,
}

impl BasesMaterial {
    fn of(plan: &Plan) -> Self {
        let built_from = images(plan, |site| site.reached && site.kind != UseKind::Syntax);
        let mut images: Vec<_> = built_from.collect();
        // Neither the order of first use nor two names for one image matter.
        images.sort();
        images.dedup();
        Self {
            platform: plan.platform.to_string(),
            images,
        }
    }
}

#[derive(Serialize)]
struct BuildMaterial<'a> {
    bases: Fingerprint,
    front_end: Vec<ImageMaterial>,
    stages: Vec<StageMaterial<'a>>,
    target: usize,
    epoch: Option<Fingerprint>,
    contexts: BTreeMap<&'a str, NamedContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<&'a Sandbox>,
}

impl<'a> BuildMaterial<'a> {
    fn of(plan: &'a Plan, bases: Fingerprint) -> Self {
        let front_end = images(plan, |site| site.kind == UseKind::Syntax);
        let contexts = plan.contexts.iter();
        Self {
            bases,
            front_end: front_end.collect(),
            stages: plan
                .stages
                .iter()
                .map(|stage| StageMaterial::of(plan, stage))
                .collect(),
            target: plan.target,
            epoch: plan.build_args.get("SOURCE_DATE_EPOCH").copied(),
            contexts: contexts
                .filter(|(_, context)| !matches!(context, NamedContext::Image(_)))
                .map(|(name, context)| (name.as_str(), without_folder(context)))
                .collect(),
            sandbox: Some(&plan.sandbox).filter(|sandbox| !sandbox.is_usual()),
        }
    }
}

/// A local folder's path differs from machine to machine; what it holds is not known here.
fn without_folder(context: &NamedContext) -> NamedContext {
    match context {
        NamedContext::Other(value) if !value.contains("://") && !value.starts_with("git@") => {
            NamedContext::Other(String::new())
        }
        other => other.clone(),
    }
}

/// A stage without its name and its line.
#[derive(Serialize)]
struct StageMaterial<'a> {
    base: OriginMaterial,
    arguments: &'a BTreeMap<String, Fingerprint>,
    steps: Vec<(&'a str, Vec<OriginMaterial>)>,
}

impl<'a> StageMaterial<'a> {
    fn of(plan: &'a Plan, stage: &'a Stage) -> Self {
        let steps = stage.steps.iter().map(|step| {
            let sources = step
                .sources
                .iter()
                .map(|source| OriginMaterial::of(plan, source));
            (step.text.as_str(), sources.collect())
        });
        Self {
            base: OriginMaterial::of(plan, &stage.base),
            arguments: &stage.arguments,
            steps: steps.collect(),
        }
    }
}

#[derive(Serialize)]
enum OriginMaterial {
    Scratch,
    Stage(usize),
    Image(ImageMaterial),
    Name(String),
    Context(NamedContext),
}

impl OriginMaterial {
    fn of(plan: &Plan, origin: &Origin) -> Self {
        match origin {
            Origin::Scratch => Self::Scratch,
            Origin::Stage(index) => Self::Stage(*index),
            Origin::Context(context) => Self::Context(without_folder(context)),
            Origin::Image(wanted) => match plan.image(&wanted.reference, &wanted.platform) {
                Some(image) => Self::Image(ImageMaterial::of(image)),
                None => Self::Name(wanted.reference.to_string()),
            },
        }
    }
}
