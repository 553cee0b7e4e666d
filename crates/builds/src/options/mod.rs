//! What decides a build beside its Dockerfile: options, what a compose or bake file says, and what
//! docker takes from the environment without being told.

mod proxies;
mod sandbox;

use std::collections::BTreeMap;
use std::path::PathBuf;

use larder_model::dockerfile::{BuildOptions, NamedContext, Platform};
use larder_model::go;
use larder_model::reference::ImageReference;
use serde::{Deserialize, Deserializer};

use crate::fault::Fault;
use crate::request::{Build, Surroundings};
use sandbox::Said;

/// The platform of a build that names none, for docker and compose.
pub(crate) const DEFAULT_PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";
/// buildx passes it on as a build argument (its `build/opt.go`, `toSolveOpt`).
const EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Whether the result may be for several platforms (`BuildKit`'s dockerui/config.go `init`).
const MULTI_PLATFORM: &str = "BUILDKIT_MULTI_PLATFORM";
/// The builder's own platform (buildx `util/platformutil/parse.go`).
const LOCAL: &str = "local";

/// The options of a build, as they were typed or as a tool says of its file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    pub(crate) target: Option<String>,
    #[serde(deserialize_with = "or_empty")]
    pub(crate) platforms: Vec<String>,
    /// One without a value comes from the environment, or is not given.
    #[serde(deserialize_with = "or_empty")]
    pub(crate) args: BTreeMap<String, Option<String>>,
    #[serde(alias = "additional_contexts", deserialize_with = "contexts")]
    pub(crate) contexts: BTreeMap<String, NamedContext>,
    #[serde(flatten)]
    pub(crate) run: Said,
}

/// A build that was asked for, and where.
pub(crate) struct Asked<'a> {
    pub(crate) build: &'a Build,
    pub(crate) around: &'a Surroundings,
    pub(crate) typed: Options,
    /// The folder that relative paths are relative to. The tools find their usual files there.
    pub(crate) folder: PathBuf,
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
            run: Said::typed(&build.run)?,
            ..Self::default()
        };
        for text in &build.build_args {
            let (name, value) = named("--build-arg", text)?;
            if let Some(value) = value.or_else(|| around.environment.get(name).map(String::as_str))
            {
                options.args.insert(name.to_owned(), Some(value.to_owned()));
            }
        }
        for text in build.build_contexts.iter().filter(|text| !text.is_empty()) {
            let (name, value) = named("--build-context", text)?;
            let value = value.ok_or_else(|| {
                Fault::option(format!(
                    "--build-context {text:?} has no value; write NAME=FOLDER or NAME=docker-image://IMAGE"
                ))
            })?;
            let context = NamedContext::parse(value);
            options.contexts.insert(context_name(name)?, context);
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
        let mut build_args = BTreeMap::new();
        let epoch = around.variable(EPOCH).map(|epoch| (EPOCH, epoch.clone()));
        for (name, value) in proxies::arguments(around).into_iter().chain(epoch) {
            build_args.insert(name.to_owned(), value);
        }
        for (name, value) in said.args.iter().chain(&self.args) {
            if let Some(value) = value.as_ref().or_else(|| around.environment.get(name)) {
                build_args.insert(name.clone(), value.clone());
            }
        }
        if wanted.len() > 1
            && build_args.get(MULTI_PLATFORM).map(|it| go::parse_bool(it)) == Some(Some(false))
        {
            return Err(Fault::option(format!(
                "{MULTI_PLATFORM} is off, and the build is for several platforms; leave it out"
            )));
        }
        let mut contexts = said.contexts.clone();
        contexts.extend(self.contexts.clone());
        let options = BuildOptions {
            target: self.target.clone().or_else(|| said.target.clone()),
            build_args,
            build_platform: host_platform(),
            sandbox: self.run.over(&said.run),
            contexts,
            ..BuildOptions::default()
        };
        let for_platform = wanted.into_iter().map(|platform| BuildOptions {
            target_platform: Some(platform),
            ..options.clone()
        });
        Ok(for_platform.collect())
    }
}

/// The name of a context in its short form: it is that of an image (buildx `util/buildflags/context.go`,
/// `NormalizeContextName`).
fn context_name(name: &str) -> Result<String, Fault> {
    let reference = ImageReference::parse(name).map_err(|error| {
        Fault::option(format!(
            "--build-context {name:?}: invalid context name: {error}"
        ))
    })?;
    let familiar = reference.familiar();
    let short = familiar.strip_suffix(":latest").unwrap_or(&familiar);
    Ok(short.to_owned())
}

/// The two parts of `NAME=VALUE`.
fn named<'a>(option: &str, text: &'a str) -> Result<(&'a str, Option<&'a str>), Fault> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, Some(value))),
        None if !text.is_empty() => Ok((text, None)),
        _ => Err(Fault::option(format!(
            "{option} {text:?} has no name; write NAME=VALUE"
        ))),
    }
}

/// Reads platforms as buildx does (`util/platformutil/parse.go`): a text may be a list, and an empty
/// one says nothing (`bake/bake.go`, `removeDupesStr`). Each is built once.
pub(crate) fn platforms(texts: &[String]) -> Result<Vec<Platform>, Fault> {
    let mut platforms = Vec::new();
    let listed = texts.iter().filter(|text| !text.is_empty());
    for text in listed.flat_map(|text| text.split(',')) {
        let platform = if text.eq_ignore_ascii_case(LOCAL) {
            host_platform()
        } else {
            platform(text)?
        };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

/// Reads a platform; half of one is completed with this machine's.
pub fn platform(text: &str) -> Result<Platform, Fault> {
    let parsed = Platform::parse(text, &host_platform());
    parsed.map_err(|error| Fault::option(format!("--platform: {error}")))
}

/// The platform that this machine's engine builds on.
pub fn host_platform() -> Platform {
    // Go's names for Rust's (`go tool dist list`).
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    Platform::new("linux", architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_as_buildx_reads_them() {
        let read = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let read = platforms(&texts).map_err(|fault| fault.message);
            read.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let host = host_platform().to_string();
        assert_eq!(read(&["Local"]), Ok(vec![host.clone()]));
        assert_eq!(read(&["", ""]), Ok(Vec::new()));
        let both = ["linux/s390x,local", "linux/s390x"];
        assert_eq!(read(&both), Ok(vec!["linux/s390x".to_owned(), host]));
        assert!(read(&["linux/s390x,"]).is_err(), "as for buildx");
    }
}
