//! From a name to what the image is today, for one platform.

use std::collections::HashMap;
use std::slice;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use larder_model::dockerfile::Platform;
use larder_model::identity::{BaseIdentity, InheritedConfig};
use larder_model::oci::Digest;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::error::{RegistryError, Result};
use crate::exchange::{BLOBS, Call, Client, MANIFESTS, RateLimit, Top};
use crate::image::Target;
use crate::image::document::{Config, Document, Entry, Kind, Manifest, malformed};
use crate::image::platform::{is_unknown, rank};
use crate::limits::INDEX_DEPTH_MAX;
use crate::memory::Memory;
use crate::settings::Settings;

/// An image that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageRequest {
    /// Which image.
    pub target: Target,
    /// For what it must run on.
    pub platform: Platform,
}

/// What an image is today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// The full name that was asked for.
    pub reference: String,
    /// The platform of the image found, as its configuration says. It may be a fallback of the one
    /// asked for, or, where a tag is a single image, something else altogether: engines take that
    /// too (containerd `core/images/image.go`, `Manifest`).
    pub platform: Platform,
    /// Every platform the tag offers; one for a tag that is a single image.
    pub platforms: Vec<Platform>,
    /// The digest of the index, where the tag is one.
    pub index: Option<Digest>,
    /// The digest of the image's manifest.
    pub manifest: Digest,
    /// The digest of the image's configuration.
    pub config: Digest,
    /// The chain id of its layers; `None` for an image without layers.
    pub chain: Option<Digest>,
    /// What the image is to a build.
    pub identity: BaseIdentity,
    /// When it was made, as its configuration says (RFC 3339).
    pub created: Option<String>,
    /// Bytes to download: compressed layers and configuration.
    pub size: u64,
    /// The number of its layers.
    pub layers: usize,
    /// What an image built from it inherits.
    pub inherited: InheritedConfig,
    /// What the registry said about its pull limit, if it was asked and said so.
    pub rate_limit: Option<RateLimit>,
}

impl Resolved {
    /// What the tag points to: the index, or the manifest of a single image.
    pub fn digest(&self) -> &Digest {
        self.index.as_ref().unwrap_or(&self.manifest)
    }
}

/// Asks registries what images are.
pub struct Registry {
    client: Client,
}

/// One call: its time, and what each target was when it was first asked for, so that two platforms
/// of one tag are two sides of one answer.
struct Run<'a> {
    call: Call<'a>,
    tops: HashMap<&'a Target, OnceCell<Top>>,
}

/// The image within an index, or the only one.
struct Choice {
    digest: Digest,
    manifest: Manifest,
    platforms: Vec<Platform>,
    /// The index says which platform the manifest is for. Otherwise its configuration decides.
    is_labelled: bool,
}

impl Registry {
    /// A client of all registries. Without a memory every answer is asked for again.
    pub fn new(settings: Settings, memory: Option<Memory>) -> Self {
        let client = Client::new(settings, memory);
        Self { client }
    }

    /// What an image is today.
    pub async fn resolve(&self, request: &ImageRequest) -> Result<Resolved> {
        let mut all = self.resolve_all(slice::from_ref(request)).await;
        all.pop().expect("each request has its answer")
    }

    /// What several images are today, in the order they were asked for; all within one deadline.
    pub async fn resolve_all(&self, requests: &[ImageRequest]) -> Vec<Result<Resolved>> {
        let deadline = self.client.settings.deadline;
        self.resolve_within(requests, deadline).await
    }

    /// As [`Registry::resolve_all`], with a deadline of its own: for a caller who asks more than
    /// once, and must be done by a time.
    pub async fn resolve_within(
        &self,
        requests: &[ImageRequest],
        deadline: Duration,
    ) -> Vec<Result<Resolved>> {
        let targets = requests.iter().map(|request| &request.target);
        let run = Run {
            call: self.client.call(deadline),
            tops: targets.map(|target| (target, OnceCell::new())).collect(),
        };
        // Collected first: a stream that holds the closure is `Send` for one lifetime only.
        let each: Vec<_> = requests.iter().map(|one| run.resolve(one)).collect();
        let at_once = self.client.settings.concurrency.max(1);
        let resolved = stream::iter(each).buffered(at_once).collect().await;
        self.client.settle().await;
        resolved
    }

    /// The digest that a tag has now (of its index, where it is one), at the price of one HEAD.
    pub async fn digest(&self, target: &Target) -> Result<Digest> {
        let call = self.client.call(self.client.settings.deadline);
        let asked = call.digest(target);
        let digest = call.clock.bound(&target.to_string(), asked).await;
        self.client.settle().await;
        digest
    }
}

impl Run<'_> {
    async fn resolve(&self, request: &ImageRequest) -> Result<Resolved> {
        let what = request.target.to_string();
        let steps = self.steps(request, &what);
        self.call.clock.bound(&what, steps).await
    }

    async fn steps(&self, request: &ImageRequest, what: &str) -> Result<Resolved> {
        let target = &request.target;
        let cell = &self.tops[target];
        let top = cell.get_or_try_init(|| self.call.top(target)).await?;
        let choice = self.choose(request, top, what).await?;
        let manifest = &choice.manifest;
        let (config, config_size) = (manifest.config, manifest.config_size);
        let body = self.call.content(target, &BLOBS, config, Some(config_size));
        let config = Config::parse(&body.await?, what)?;
        if config.layers != manifest.layers {
            let (layers, listed) = (manifest.layers, config.layers);
            let reason = format!("it has {layers} layers, its configuration lists {listed}");
            return Err(malformed(what, &reason));
        }
        if !choice.is_labelled && rank(&request.platform, &config.platform).is_none() {
            return Err(no_platform(request, choice.platforms));
        }
        let is_single = choice.digest == top.digest;
        let size = manifest.layers_size.checked_add(config_size);
        Ok(Resolved {
            reference: what.to_owned(),
            identity: config.identity(),
            platforms: if is_single {
                vec![config.platform.clone()]
            } else {
                choice.platforms
            },
            platform: config.platform,
            index: (!is_single).then_some(top.digest),
            manifest: choice.digest,
            config: manifest.config,
            chain: config.chain,
            created: config.created,
            size: size.ok_or_else(|| malformed(what, "it is larger than any disk"))?,
            layers: manifest.layers,
            inherited: config.inherited,
            rate_limit: top.rate_limit.clone(),
        })
    }

    /// Follows indexes down to a manifest. An index inside an index is entered when it is the best
    /// entry, and what it lacks is then missing: containerd's `images.Manifest` does not turn back.
    async fn choose(&self, request: &ImageRequest, top: &Top, what: &str) -> Result<Choice> {
        let mut digest = top.digest;
        let mut document = Document::parse(&top.body, top.announced, what)?;
        let mut platforms = Vec::new();
        let mut is_labelled = true;
        for depth in 0..=INDEX_DEPTH_MAX {
            let entries = match document {
                Document::Index(entries) => entries,
                Document::Manifest(manifest) => {
                    return Ok(Choice {
                        digest,
                        manifest,
                        platforms,
                        is_labelled,
                    });
                }
            };
            if depth == 0 {
                platforms = offered(&entries);
            }
            let Some(entry) = best(&entries, &request.platform) else {
                return Err(no_platform(request, platforms));
            };
            let named = entry.manifest.digest();
            digest = named.map_err(|error| malformed(what, &error))?;
            is_labelled = entry.platform.is_some();
            let size = Some(entry.manifest.size);
            let body = self.call.content(&request.target, &MANIFESTS, digest, size);
            document = Document::parse(&body.await?, entry.kind, what)?;
        }
        let reason = format!("its indexes lead more than {INDEX_DEPTH_MAX} levels down");
        Err(malformed(what, &reason))
    }
}

/// The entry containerd takes: of those that serve the platform the best, of equals the first;
/// entries without a platform come last (`core/images/image.go`, `Manifest`).
fn best<'a>(entries: &'a [Entry], wanted: &Platform) -> Option<&'a Entry> {
    let images = entries
        .iter()
        .filter(|entry| entry.kind != Some(Kind::SchemaOne));
    let ranked = images.filter_map(|entry| Some((rank_of(entry, wanted)?, entry)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, entry)| entry)
}

fn rank_of(entry: &Entry, wanted: &Platform) -> Option<usize> {
    match &entry.platform {
        Some(_) if entry.needs_features => None,
        Some(platform) => rank(wanted, platform),
        None => Some(usize::MAX),
    }
}

fn offered(entries: &[Entry]) -> Vec<Platform> {
    let named = entries.iter().filter_map(|entry| entry.platform.clone());
    let mut all = Vec::new();
    for platform in named.filter(|platform| !is_unknown(platform)) {
        if !all.contains(&platform) {
            all.push(platform);
        }
    }
    all
}

fn no_platform(request: &ImageRequest, offered: Vec<Platform>) -> RegistryError {
    RegistryError::NoPlatform {
        image: request.target.to_string(),
        wanted: Box::new(request.platform.clone()),
        offered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The media type says which one it is.
    fn entry(platform: Option<&str>, name: &str) -> Entry {
        let manifest = serde_json::json!({"mediaType": name, "digest": "", "size": 1});
        Entry {
            manifest: serde_json::from_value(manifest).expect("a descriptor"),
            kind: Some(Kind::Manifest),
            platform: platform.map(|text| text.parse().expect("a platform")),
            needs_features: false,
        }
    }

    fn chosen(entries: &[Entry], wanted: &str) -> Option<String> {
        let best = best(entries, &wanted.parse().expect("a platform"));
        best.map(|entry| entry.manifest.media_type.clone())
    }

    #[test]
    fn the_best_entry_is_containerds() {
        let entries = [
            entry(Some("unknown/unknown"), "attestation"),
            entry(None, "unlabelled"),
            entry(Some("linux/386"), "386"),
            entry(Some("linux/arm/v6"), "v6"),
            entry(Some("linux/arm/v7"), "v7"),
            entry(Some("linux/amd64/v2"), "amd64-v2"),
            entry(Some("linux/amd64"), "amd64"),
            entry(Some("linux/amd64"), "second amd64"),
        ];
        for (wanted, expected) in [
            ("linux/amd64", "amd64"),
            ("linux/amd64/v3", "amd64-v2"),
            ("linux/arm", "v7"),
            ("linux/arm64", "v7"),
            ("linux/arm/v6", "v6"),
            ("linux/386", "386"),
            ("linux/s390x", "unlabelled"),
        ] {
            assert_eq!(
                chosen(&entries, wanted).as_deref(),
                Some(expected),
                "{wanted}"
            );
        }
        assert_eq!(chosen(&entries[2..], "linux/arm/v5"), None);
        assert_eq!(chosen(&entries[..1], "linux/amd64"), None);
    }

    #[test]
    fn an_entry_that_needs_features_serves_no_plain_request() {
        let mut featured = entry(Some("linux/amd64"), "featured");
        featured.needs_features = true;
        assert_eq!(chosen(&[featured.clone()], "linux/amd64"), None);
        let both = [featured, entry(Some("linux/386"), "386")];
        assert_eq!(chosen(&both, "linux/amd64").as_deref(), Some("386"));
    }
}
