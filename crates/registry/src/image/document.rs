//! The documents of an image: index, manifest, configuration (OCI image specification; docker's
//! "Image Manifest Version 2, Schema 2" has the same form).

use larder_model::dockerfile::Platform;
use larder_model::identity::{BaseIdentity, InheritedConfig};
use larder_model::oci::{Descriptor, Digest, RootFs, chain_id};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::digest::hash_sha256;
use crate::error::{RegistryError, Result};

/// The types asked for; the order shows no preference, as in containerd's resolver.
pub(crate) const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json";

/// What a media type says a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Index,
    Manifest,
    SchemaOne,
}

impl Kind {
    /// `None` for a type that says nothing, such as `application/json`.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type.split(';').next().unwrap_or_default().trim() {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Some(Self::Index),
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Some(Self::Manifest),
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Some(Self::SchemaOne),
            _ => None,
        }
    }
}

/// An index or a manifest.
#[derive(Debug)]
pub(crate) enum Document {
    Index(Vec<Entry>),
    Manifest(Manifest),
}

/// One image of an index.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) manifest: Descriptor,
    pub(crate) kind: Option<Kind>,
    pub(crate) platform: Option<Platform>,
    /// An entry that needs features of the system (`os.features`) serves no plain request
    /// (containerd/platforms `platforms.go`, `matcher.Match`). Windows marks every image so.
    pub(crate) needs_features: bool,
}

/// One image: its configuration and the compressed layers.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Digest,
    pub(crate) config_size: u64,
    pub(crate) layers: usize,
    pub(crate) layers_size: u64,
}

/// What is used of a configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) platform: Platform,
    pub(crate) created: Option<String>,
    pub(crate) layers: usize,
    pub(crate) chain: Option<Digest>,
    pub(crate) inherited: InheritedConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<RawEntry>>,
    #[serde(rename = "fsLayers")]
    schema_one_layers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(flatten)]
    manifest: Descriptor,
    platform: Option<RawPlatform>,
}

/// The parts of a platform as an index or a configuration writes them; any may be null. A version of
/// the system is left out: only Windows compares it, and only when the request names one.
#[derive(Deserialize)]
struct RawPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    #[serde(rename = "os.features")]
    features: Option<Vec<String>>,
}

impl RawPlatform {
    fn normal(&self) -> Platform {
        let parts = [&self.os, &self.architecture, &self.variant];
        let [os, architecture, variant] = parts.map(|part| part.as_deref().unwrap_or_default());
        Platform::normal(os, architecture, variant)
    }
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(flatten)]
    platform: RawPlatform,
    created: Option<String>,
    config: Option<InheritedConfig>,
    rootfs: Option<RootFs>,
}

impl Document {
    /// Reads an index or a manifest. What it is must be clear: a document that could be taken for
    /// both (CVE-2021-41190), or that is not what `announced` says, is refused, as in containerd
    /// (`core/images/image.go`, `validateMediaType`).
    pub(crate) fn parse(bytes: &[u8], announced: Option<Kind>, what: &str) -> Result<Self> {
        let raw: RawDocument = json(bytes, what)?;
        let says = raw.media_type.as_deref().and_then(Kind::of);
        let is_one = raw.schema_one_layers.is_some() || raw.schema_version == Some(1);
        if is_one || says == Some(Kind::SchemaOne) || announced == Some(Kind::SchemaOne) {
            return Err(RegistryError::SchemaOne {
                what: what.to_owned(),
            });
        }
        let has_manifest = raw.config.is_some() || raw.layers.is_some();
        let kind = match (raw.manifests.is_some(), has_manifest) {
            (true, true) => Err("it could be an index as well as a manifest"),
            (true, false) => Ok(Kind::Index),
            (false, true) => Ok(Kind::Manifest),
            (false, false) => says
                .or(announced)
                .ok_or("it is neither an index nor a manifest"),
        };
        let kind = kind.map_err(|reason| malformed(what, reason))?;
        let mut told = says.into_iter().chain(announced);
        if told.any(|other| other != kind) {
            return Err(malformed(what, "its media type is not that of its content"));
        }
        match raw.manifests {
            Some(entries) => Ok(Self::Index(entries.into_iter().map(Entry::of).collect())),
            None if kind == Kind::Index => Ok(Self::Index(Vec::new())),
            None => manifest(raw.config, raw.layers, what).map(Self::Manifest),
        }
    }
}

impl Entry {
    fn of(raw: RawEntry) -> Self {
        let stated = raw.platform.as_ref();
        let features = stated.and_then(|stated| stated.features.as_ref());
        let platform = stated.map(RawPlatform::normal);
        let is_windows = platform.as_ref().is_some_and(|one| one.os == "windows");
        Self {
            kind: Kind::of(&raw.manifest.media_type),
            manifest: raw.manifest,
            needs_features: !is_windows && features.is_some_and(|all| !all.is_empty()),
            platform,
        }
    }
}

fn manifest(
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    what: &str,
) -> Result<Manifest> {
    let config = config.ok_or_else(|| malformed(what, "it names no configuration"))?;
    let digest = config.digest().map_err(|error| malformed(what, &error))?;
    let layers = layers.unwrap_or_default();
    let mut sizes = layers.iter().map(|layer| layer.size);
    let total = sizes.try_fold(0, u64::checked_add);
    Ok(Manifest {
        config: digest,
        config_size: config.size,
        layers: layers.len(),
        layers_size: total.ok_or_else(|| malformed(what, "its layers are larger than any disk"))?,
    })
}

impl Config {
    /// What the image is to a build.
    pub(crate) fn identity(&self) -> BaseIdentity {
        let chain = self.chain.map(|chain| chain.to_string());
        BaseIdentity::of(&chain.unwrap_or_default(), &self.inherited)
    }

    /// Reads a configuration; `what` names it in errors.
    pub(crate) fn parse(bytes: &[u8], what: &str) -> Result<Self> {
        let raw: RawConfig = json(bytes, what)?;
        let rootfs = raw.rootfs.ok_or_else(|| {
            let reason = "its configuration lists no layers (`rootfs`): not a container image";
            malformed(what, reason)
        })?;
        Ok(Self {
            platform: raw.platform.normal(),
            created: raw.created,
            layers: rootfs.diff_ids.len(),
            chain: chain_id(&rootfs.diff_ids, hash_sha256),
            inherited: raw.config.unwrap_or_default(),
        })
    }
}

/// The identity of an image whose configuration (OCI image specification, `config.md`) is at hand
/// already, such as one that an engine holds; `what` names it in errors.
pub fn identity_of(config: &[u8], what: &str) -> Result<BaseIdentity> {
    Config::parse(config, what).map(|config| config.identity())
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| malformed(what, &error))
}

pub(crate) fn malformed(what: &str, reason: &(impl ToString + ?Sized)) -> RegistryError {
    RegistryError::Malformed {
        what: what.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_absent_and_empty_are_the_same_to_a_child() {
        let empty = r#"{"Env":[],"Cmd":null,"Labels":{},"Volumes":null,"User":"","OnBuild":null,
            "Healthcheck":{},"ExposedPorts":{},"StopSignal":null,"Hostname":"x","Memory":7}"#;
        for config in ["null", "{}", empty] {
            let text = format!(r#"{{"rootfs":{{"diff_ids":null}},"config":{config}}}"#);
            let read = Config::parse(text.as_bytes(), "x").expect("valid");
            assert_eq!(read.inherited, InheritedConfig::default(), "{config}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_document_panics(
            field in "manifests|config|layers|fsLayers|mediaType|rootfs|schemaVersion",
            value in r#"null|\[\]|\{\}|\[null\]|-1|1|"x"|\[\{"digest":"","size":1\}\]|[^a]*"#,
        ) {
            let text = format!(r#"{{"{field}":{value}}}"#);
            for announced in [None, Some(Kind::Index), Some(Kind::Manifest)] {
                let _ = Document::parse(text.as_bytes(), announced, "x");
            }
            let _ = Config::parse(text.as_bytes(), "x");
        }
    }
}
