//! What decides a build beside its Dockerfile: options, what a compose or bake file says, and what
//! docker takes from the environment without being told.

use std::collections::BTreeMap;

use larder_model::dockerfile::{BuildOptions, ImageConfigs, NamedContext, Platform};

use crate::describe::Described;
use crate::draft::Draft;
use crate::fault::Fault;
use crate::platforms::{host_platform, platforms};
use crate::request::{Build, Surroundings};

/// The platform of a build that names none, for docker and compose.
pub(crate) const DEFAULT_PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";
/// buildx passes it on as a build argument (its `build/opt.go`, `toSolveOpt`).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The options of a build, understood.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    target: Option<String>,
    platforms: Vec<Platform>,
    args: BTreeMap<String, String>,
    contexts: BTreeMap<String, NamedContext>,
}

impl Options {
    /// Those that were typed.
    pub(crate) fn read(build: &Build, around: &Surroundings) -> Result<Self, Fault> {
        let mut args = BTreeMap::new();
        for arg in &build.build_args {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (arg.as_str(), around.environment.get(arg).cloned()),
            };
            if name.is_empty() {
                return Err(Fault::option(format!(
                    "--build-arg {arg:?} has no name; write NAME=VALUE"
                )));
            }
            // As for docker, a name that the environment does not know is not given.
            if let Some(value) = value {
                args.insert(name.to_owned(), value);
            }
        }
        let mut contexts = BTreeMap::new();
        for context in &build.build_contexts {
            let (name, value) = context.split_once('=').ok_or_else(|| {
                Fault::option(format!(
                    "--build-context {context:?} has no value; write NAME=FOLDER or NAME=docker-image://IMAGE"
                ))
            })?;
            if name.is_empty() {
                return Err(Fault::option(format!(
                    "--build-context {context:?} has no name; write NAME=FOLDER"
                )));
            }
            contexts.insert(name.to_owned(), NamedContext::parse(value));
        }
        Ok(Self {
            target: build.target.clone(),
            platforms: platforms(&build.platforms)?,
            args,
            contexts,
        })
    }

    /// Those of `docker build`, which takes its platform from the environment too
    /// (buildx `commands/build.go`, `platformsDefault`; docker/cli `command/image/build.go`).
    pub(crate) fn alone(mut self, around: &Surroundings) -> Result<Self, Fault> {
        let usual = around.environment.get(DEFAULT_PLATFORM);
        if let Some(usual) = usual.filter(|_| self.platforms.is_empty()) {
            self.platforms = platforms(std::slice::from_ref(usual))?;
        }
        Ok(self.with_epoch(around))
    }

    /// On top of what a file says, as `bake --set` and `compose build` have it.
    pub(crate) fn over(&self, one: &Described, around: &Surroundings) -> Result<Self, Fault> {
        let mut options = self.clone();
        if options.platforms.is_empty() {
            options.platforms = platforms(&one.platforms)?;
        }
        options.target = options.target.or_else(|| one.target.clone());
        for (name, value) in &one.args {
            let arg = options.args.entry(name.clone());
            arg.or_insert_with(|| value.clone());
        }
        for (name, value) in &one.contexts {
            let context = options.contexts.entry(name.clone());
            context.or_insert_with(|| NamedContext::parse(value));
        }
        Ok(options.with_epoch(around))
    }

    fn with_epoch(mut self, around: &Surroundings) -> Self {
        let epoch = around.environment.get(EPOCH);
        if let Some(epoch) = epoch.filter(|epoch| !epoch.is_empty()) {
            let arg = self.args.entry(EPOCH.to_owned());
            arg.or_insert_with(|| epoch.clone());
        }
        self
    }

    /// One build for each platform.
    pub(crate) fn drafts(
        &self,
        name: Option<&str>,
        file: String,
        text: &[u8],
    ) -> Result<Vec<Draft>, Fault> {
        let host = host_platform();
        let options = BuildOptions {
            target: self.target.clone(),
            build_args: self.args.clone(),
            build_platform: host.clone(),
            target_platform: Some(host),
            contexts: self.contexts.clone(),
            image_configs: ImageConfigs::new(),
        };
        let draft = Draft::new(name.map(str::to_owned), file, text, options)?;
        if self.platforms.is_empty() {
            return Ok(vec![draft]);
        }
        let platforms = self.platforms.iter();
        Ok(platforms
            .map(|platform| draft.with_platform(platform.clone()))
            .collect())
    }
}
