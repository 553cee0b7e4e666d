//! What decides a build beside its Dockerfile: options, what a compose or bake file says, and what
//! docker takes from the environment without being told.

use std::collections::BTreeMap;

use larder_model::dockerfile::{BuildOptions, ImageConfigs, NamedContext};
use serde::{Deserialize, Deserializer};

use crate::fault::Fault;
use crate::platforms::{host_platform, platforms};
use crate::request::{Build, Surroundings};

/// The platform of a build that names none, for docker and compose.
pub(crate) const DEFAULT_PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";
/// buildx passes it on as a build argument (its `build/opt.go`, `toSolveOpt`).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The options of a build, as they were typed or as a tool says of its file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    /// `--target`
    pub(crate) target: Option<String>,
    /// `--platform`
    #[serde(deserialize_with = "or_empty")]
    pub(crate) platforms: Vec<String>,
    /// `--build-arg`; one without a value comes from the environment, or is not given.
    #[serde(deserialize_with = "or_empty")]
    pub(crate) args: BTreeMap<String, Option<String>>,
    /// `--build-context`
    #[serde(alias = "additional_contexts", deserialize_with = "contexts")]
    pub(crate) contexts: BTreeMap<String, NamedContext>,
}

/// Reads a value that Go may write as null: an empty list or map that was never made.
pub(crate) fn or_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads named contexts. `service:NAME` of a compose file, which older versions of bake hand on, is the
/// image that another service builds, as `target:NAME` is for bake.
fn contexts<'de, D>(deserializer: D) -> Result<BTreeMap<String, NamedContext>, D::Error>
where
    D: Deserializer<'de>,
{
    let said: BTreeMap<String, Option<String>> = or_empty(deserializer)?;
    let named = said.into_iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        let context = match value.strip_prefix("service:") {
            Some(service) => NamedContext::Target(service.to_owned()),
            None => NamedContext::parse(&value),
        };
        Some((name, context))
    });
    Ok(named.collect())
}

impl Options {
    /// Those that were typed.
    pub(crate) fn typed(build: &Build, around: &Surroundings) -> Result<Self, Fault> {
        // What is no platform is refused before a tool is asked.
        platforms(&build.platforms)?;
        let mut options = Self {
            target: build.target.clone(),
            platforms: build.platforms.clone(),
            ..Self::default()
        };
        for text in &build.build_args {
            let (name, value) = named("--build-arg", text)?;
            if let Some(value) = value.or_else(|| around.environment.get(name).map(String::as_str))
            {
                options.args.insert(name.to_owned(), Some(value.to_owned()));
            }
        }
        for text in &build.build_contexts {
            let (name, value) = named("--build-context", text)?;
            let value = value.ok_or_else(|| {
                Fault::option(format!(
                    "--build-context {text:?} has no value; write NAME=FOLDER or NAME=docker-image://IMAGE"
                ))
            })?;
            let context = NamedContext::parse(value);
            options.contexts.insert(name.to_owned(), context);
        }
        Ok(options)
    }

    /// On top of what a file says, as `bake --set` and `compose build` have it: the options for each
    /// platform.
    pub(crate) fn over(
        &self,
        said: &Self,
        around: &Surroundings,
    ) -> Result<Vec<BuildOptions>, Fault> {
        let mut wanted = platforms(&self.platforms)?;
        if wanted.is_empty() {
            wanted = platforms(&said.platforms)?;
        }
        if wanted.is_empty() {
            wanted.push(host_platform());
        }
        let epoch = around.variable(EPOCH);
        let mut build_args: BTreeMap<_, _> = epoch
            .map(|epoch| (EPOCH.to_owned(), epoch.clone()))
            .into_iter()
            .collect();
        for (name, value) in said.args.iter().chain(&self.args) {
            if let Some(value) = value.as_ref().or_else(|| around.environment.get(name)) {
                build_args.insert(name.clone(), value.clone());
            }
        }
        let contexts = said.contexts.iter().chain(&self.contexts);
        let options = BuildOptions {
            target: self
                .target
                .clone()
                .or_else(|| said.target.clone())
                .filter(|stage| !stage.is_empty()),
            build_args,
            build_platform: host_platform(),
            target_platform: None,
            contexts: contexts
                .map(|(name, context)| (name.clone(), context.clone()))
                .collect(),
            image_configs: ImageConfigs::new(),
        };
        let for_platform = wanted.into_iter().map(|platform| BuildOptions {
            target_platform: Some(platform),
            ..options.clone()
        });
        Ok(for_platform.collect())
    }
}

/// The two parts of `NAME=VALUE`.
fn named<'a>(option: &str, text: &'a str) -> Result<(&'a str, Option<&'a str>), Fault> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(Fault::option(format!(
            "{option} {text:?} has no name; write NAME=VALUE"
        )));
    }
    Ok((name, value))
}
