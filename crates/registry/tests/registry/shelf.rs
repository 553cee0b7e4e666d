//! Images for tests, and a registry's well-behaved answers about them.

use std::collections::BTreeMap;
use std::time::Duration;

use larder_model::oci::Digest;
use larder_registry::{ImageRequest, Registry, RegistryError, Resolved, Settings, Target, sha256};
use serde_json::{Value, json};

use crate::server::{Reply, Seen};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Contents by digest, tags by name; every repository holds the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    pub contents: BTreeMap<String, (String, Vec<u8>)>,
    pub tags: BTreeMap<String, String>,
}

impl Shelf {
    /// One image under the tag `latest`.
    pub(crate) fn with_one_image() -> Self {
        let mut shelf = Self::default();
        let image = shelf.image("linux/amd64", "one");
        shelf.tag("latest", &image);
        shelf
    }

    /// An index of two platforms and an attestation under the tag `latest`.
    pub(crate) fn with_an_index() -> Self {
        let mut shelf = Self::default();
        let entries = [
            shelf.image("unknown/unknown", "attestation"),
            shelf.image("linux/arm64", "arm"),
            shelf.image("linux/amd64", "amd"),
        ];
        let index = shelf.index(&entries);
        shelf.tag("latest", &index);
        shelf
    }

    /// Puts a content on the shelf; its descriptor.
    pub(crate) fn put(&mut self, media_type: &str, content: impl Into<Vec<u8>>) -> Value {
        let content = content.into();
        let digest = sha256(&content).to_string();
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": content.len()});
        self.contents
            .insert(digest, (media_type.to_owned(), content));
        descriptor
    }

    /// An image with two layers, made of `seed`.
    pub(crate) fn image(&mut self, platform: &str, seed: &str) -> Value {
        let config = config(platform, seed, &layers(seed));
        self.image_of(platform, seed, &config)
    }

    /// An image with this configuration.
    pub(crate) fn image_of(&mut self, platform: &str, seed: &str, config: &Value) -> Value {
        let config = self.put(CONFIG, config.to_string());
        let layers: Vec<Value> = ["a", "b"]
            .iter()
            .map(|layer| {
                self.put(
                    "application/vnd.oci.image.layer.v1.tar",
                    format!("{seed} {layer}"),
                )
            })
            .collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let mut descriptor = self.put(MANIFEST, manifest.to_string());
        descriptor["platform"] = platform_json(platform);
        descriptor
    }

    pub(crate) fn index(&mut self, entries: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        self.put(INDEX, index.to_string())
    }

    pub(crate) fn tag(&mut self, tag: &str, descriptor: &Value) {
        let digest = descriptor["digest"]
            .as_str()
            .expect("a descriptor")
            .to_owned();
        self.tags.insert(tag.to_owned(), digest);
    }

    /// As a registry that follows the specification.
    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        let path = seen.path.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let digest = self.tags.get(name).map_or(name, String::as_str);
        match self.contents.get(digest) {
            Some((media_type, content)) => Reply::new(200)
                .header("content-type", media_type)
                .header("docker-content-digest", digest)
                .body(content.clone()),
            None => Reply::json(404, &json!({"errors": [{"code": "MANIFEST_UNKNOWN"}]})),
        }
    }
}

pub(crate) fn layers(seed: &str) -> [Digest; 2] {
    ["a", "b"].map(|layer| sha256(format!("{seed} {layer}").as_bytes()))
}

pub(crate) fn config(platform: &str, seed: &str, diff_ids: &[Digest]) -> Value {
    let mut config = platform_json(platform);
    config["created"] = json!("2026-01-02T03:04:05Z");
    config["config"] = json!({"Env": ["PATH=/bin"], "Cmd": [seed], "Labels": null});
    config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    config
}

fn platform_json(platform: &str) -> Value {
    let parts: Vec<&str> = platform.split('/').collect();
    let mut json = json!({"os": parts[0], "architecture": parts[1]});
    if let Some(variant) = parts.get(2) {
        json["variant"] = json!(variant);
    }
    json
}

/// A client of HTTP that asks nobody who they are.
pub(crate) fn any_client() -> reqwest::Client {
    let tls = larder_tls::client_of_any_server(Vec::new());
    let client = reqwest::Client::builder().no_proxy();
    client
        .tls_backend_preconfigured(tls)
        .build()
        .expect("a client")
}

/// Limits that nobody meets who is answered, however busy the machine is.
pub(crate) fn settings() -> Settings {
    Settings {
        deadline: Duration::from_secs(120),
        try_limit: Duration::from_secs(60),
        ..Settings::default()
    }
}

pub(crate) fn target(host: &str, repository: &str, tag: &str) -> Target {
    named(&format!("{host}/{repository}:{tag}"))
}

pub(crate) fn named(reference: &str) -> Target {
    Target::of(&reference.parse().expect("a reference"))
}

pub(crate) fn request(host: &str, platform: &str) -> ImageRequest {
    let platform = platform.parse().expect("a platform");
    ImageRequest {
        target: target(host, "app", "latest"),
        platform,
    }
}

/// `app:latest` at `host` for linux/amd64, without a memory.
pub(crate) async fn resolve(host: &str) -> Result<Resolved, RegistryError> {
    Registry::new(settings(), None)
        .resolve(&request(host, "linux/amd64"))
        .await
}

/// The command of the image made of a seed, which tells images apart.
pub(crate) fn seed_of(resolved: &Resolved) -> &str {
    &resolved.inherited.cmd[0]
}
