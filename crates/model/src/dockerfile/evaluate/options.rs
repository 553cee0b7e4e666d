//! What a build is asked for, beside the Dockerfile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sandbox::Sandbox;
use crate::dockerfile::platform::Platform;
use crate::go;
use crate::identity::InheritedConfig;
use crate::reference::ImageReference;

/// What is known of images, by name and platform.
pub type ImageConfigs = BTreeMap<(ImageReference, Platform), InheritedConfig>;

/// The options of `docker build` that decide which images are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOptions {
    /// `--target`: a stage's name, in any case. The last stage if absent.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// The platform that builds run on: the builder's own.
    pub build_platform: Platform,
    /// `--platform`; the build platform if absent.
    pub target_platform: Option<Platform>,
    /// What commands run in.
    pub sandbox: Sandbox,
    /// `--build-context NAME=…`, by name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// The images that other builds of the same project make, with the names of these builds. The engine
    /// takes an image that it has before it asks a registry, and compose builds what a service depends
    /// on before it: no registry knows these images. The image of the front end is not among them,
    /// because it must be there before anything is built.
    pub built: BTreeMap<ImageReference, String>,
    /// What is known of images: the variables and `ONBUILD` instructions that stages inherit. These
    /// may name more images; without an entry nothing is assumed.
    pub image_configs: ImageConfigs,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            target: None,
            build_args: BTreeMap::new(),
            build_platform: Platform::new("linux", "amd64"),
            target_platform: None,
            sandbox: Sandbox::default(),
            contexts: BTreeMap::new(),
            built: BTreeMap::new(),
            image_configs: BTreeMap::new(),
        }
    }
}

impl BuildOptions {
    /// The platform that is built for.
    pub fn platform(&self) -> &Platform {
        self.target_platform
            .as_ref()
            .unwrap_or(&self.build_platform)
    }

    /// The context that stands in for an image or a stage of this name: the one of its familiar form without
    /// `:latest`, with the platform first (dockerui/config.go `NamedContext`). What is called otherwise stands in for
    /// nothing; `--build-context` brings its names into that form, bake and compose leave theirs as they are.
    pub(super) fn context(&self, name: &str, platform: &Platform) -> Option<&NamedContext> {
        if self.contexts.is_empty()
            || go::equal_fold(name, "scratch")
            || go::equal_fold(name, "context")
        {
            return None;
        }
        let familiar = match ImageReference::parse(name) {
            Ok(reference) => reference.familiar(),
            Err(_) => name.to_owned(),
        };
        let wanted = familiar.strip_suffix(":latest").unwrap_or(&familiar);
        let contexts = &self.contexts;
        contexts
            .get(&format!("{wanted}::{platform}"))
            .or_else(|| contexts.get(wanted))
    }
}

/// What a named context is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "value")]
pub enum NamedContext {
    /// `docker-image://REFERENCE`.
    Image(String),
    /// `target:NAME`: the result of another build.
    Target(String),
    /// Anything else: a folder, a Git repository, an archive, an OCI layout. No image is asked
    /// of a registry for it.
    Other(String),
}

impl NamedContext {
    /// The build that it is the result of, if that is what it is.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::Target(name) => Some(name),
            Self::Image(_) | Self::Other(_) => None,
        }
    }

    /// Reads the value of a `--build-context`.
    pub fn parse(value: &str) -> Self {
        if let Some(image) = value.strip_prefix("docker-image:") {
            return Self::Image(image.strip_prefix("//").unwrap_or(image).to_owned());
        }
        match value.strip_prefix("target:") {
            Some(target) => Self::Target(target.to_owned()),
            None => Self::Other(value.to_owned()),
        }
    }
}
