//! The outcome: images with their uses, and the stages that the target reaches.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::canonical;
use super::epoch;
use super::graph::{self, Graph, State};
use super::options::NamedContext;
use super::origin::{self, ImageUse, Origin, UseKind};
use super::sandbox::Sandbox;
use super::stage::{self, Usage};
use crate::dockerfile::error::DockerfileError;
use crate::dockerfile::platform::Platform;
use crate::dockerfile::read::instruction::{Instruction, Kind};
use crate::dockerfile::read::mount;
use crate::fingerprint::Fingerprint;
use crate::reference::ImageReference;

/// What a build needs before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bases {
    /// Every external image, in the order of first use.
    pub images: Vec<BaseImage>,
    /// The stages of the file, in its order.
    pub stages: Vec<Stage>,
    /// Those that the target needs, as indices into `stages`.
    pub reached: BTreeSet<usize>,
    /// The stage that is built.
    pub target: usize,
    /// The build arguments given that the reached stages use.
    pub build_args: BTreeMap<String, Fingerprint>,
    /// The named contexts that the reached stages use, by the name that they stand in for.
    pub contexts: BTreeMap<String, NamedContext>,
    /// What the reached stages' commands run in.
    pub sandbox: Sandbox,
}

/// An image that is not built by this Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Its full reference, with `latest` where nothing is said.
    pub reference: ImageReference,
    /// The platform that is wanted of it.
    pub platform: Platform,
    /// Whether the target needs it.
    pub reached: bool,
    /// Where it is used.
    pub uses: Vec<ImageUse>,
}

/// A stage of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The name given by `AS`, or `stage-N`.
    pub label: String,
    /// The line of its `FROM`.
    pub line: u32,
    /// What it starts from; stages are indices into the list that this one is in.
    pub base: Origin,
    /// The values that its `ARG` instructions get from outside, if it is reached.
    pub arguments: BTreeMap<String, Fingerprint>,
    /// Its instructions, triggers of its base stage first.
    pub steps: Vec<Step>,
}

/// An instruction in its canonical form: formatting, comments and the order of flags are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The line, counted from 1.
    pub line: u32,
    /// The keyword in capitals.
    pub keyword: String,
    /// The canonical form, as JSON.
    pub text: String,
    /// What it copies or mounts from, one for each mount.
    pub sources: Vec<Origin>,
    /// The paths of the build context that it reads.
    pub context_paths: Vec<String>,
}

pub(super) fn of_graph(graph: &Graph<'_>) -> Result<Bases, DockerfileError> {
    let mut collector = Collector {
        graph,
        images: Vec::new(),
        places: BTreeMap::new(),
        contexts: BTreeMap::new(),
    };
    collector.add_syntax()?;
    let origins: Vec<Origin> = (0..graph.states.len())
        .map(|index| collector.add_origin(index))
        .collect::<Result<_, _>>()?;
    let usage = stage::check_reached(graph)?;
    let given = graph.globals.given.iter();
    let used = given.filter(|(name, _)| usage.names.contains(*name));
    let epoch = graph.globals.epoch();
    let epoch = epoch.map(|value| (epoch::NAME, value));
    let stages = Stages {
        graph,
        origins: &origins,
        usage: &usage,
        one_shell: !has_shell_instruction(graph),
    };
    Ok(Bases {
        images: collector.images,
        stages: stages.all(),
        reached: graph
            .reached
            .range(..graph.file.stages.len())
            .copied()
            .collect(),
        target: graph.target,
        build_args: used
            .map(|(name, value)| (name.as_str(), value))
            .chain(epoch)
            .map(|(name, value)| (name.to_owned(), Fingerprint::of_argument(name, value)))
            .collect(),
        contexts: collector.contexts,
        sandbox: sandbox(graph),
    })
}

fn sandbox(graph: &Graph<'_>) -> Sandbox {
    let stages = graph.reached.iter().map(|index| &graph.states[*index]);
    let stages = stages.filter(|state| state.context.is_none());
    let runs =
        stages
            .flat_map(|state| &state.steps)
            .filter_map(|step| match &step.instruction.kind {
                Kind::Run(run) => Some(run),
                _ => None,
            });
    let (mut any, mut caches) = (false, false);
    for run in runs {
        any = true;
        caches |= run.mounts.iter().any(|mount| mount::may_be_cache(mount));
    }
    let options = graph.options;
    options.sandbox.of_steps(&options.build_args, any, caches)
}

struct Collector<'g, 'a> {
    graph: &'g Graph<'a>,
    images: Vec<BaseImage>,
    places: BTreeMap<(ImageReference, Platform), usize>,
    contexts: BTreeMap<String, NamedContext>,
}

impl Collector<'_, '_> {
    /// The image of the front end.
    fn add_syntax(&mut self) -> Result<(), DockerfileError> {
        if let Some((reference, site)) =
            origin::front_end(&self.graph.front_end, &self.graph.file.source)?
        {
            let platform = self.graph.options.build_platform.clone();
            self.insert(reference, platform, site);
        }
        Ok(())
    }

    fn add_origin(&mut self, index: usize) -> Result<Origin, DockerfileError> {
        let state = &self.graph.states[index];
        let (origin, context) = self.graph.origin(index)?;
        if let Origin::Image(image) = &origin {
            let site = self.site(index, state);
            self.insert(image.reference.clone(), image.platform.clone(), site);
        }
        if let Some(name) = context.filter(|_| self.graph.reached.contains(&index)) {
            let value = match &origin {
                Origin::Context(context) => context.clone(),
                Origin::Image(image) => NamedContext::Image(image.reference.to_string()),
                Origin::Scratch | Origin::Stage(_) => NamedContext::Image("scratch".to_owned()),
            };
            self.contexts.insert(name, value);
        }
        Ok(origin)
    }

    fn site(&self, index: usize, state: &State) -> ImageUse {
        let (owner, kind) = state.user.unwrap_or((index, UseKind::From));
        let source = &self.graph.file.source;
        let flagged = format!("from={}", state.base_text);
        let (line, column) = match state.span.locate(source, &flagged) {
            (line, column) if kind != UseKind::From && column > 1 => (line, column + 5),
            _ => state.span.locate(source, &state.base_text),
        };
        ImageUse {
            kind,
            stage: Some(self.graph.states[owner].label.clone()),
            line,
            column,
            reached: self.graph.reached.contains(&index),
        }
    }

    fn insert(&mut self, reference: ImageReference, platform: Platform, site: ImageUse) {
        let key = (reference.clone(), platform.clone());
        let at = *self.places.entry(key).or_insert_with(|| {
            self.images.push(BaseImage {
                reference,
                platform,
                reached: false,
                uses: Vec::new(),
            });
            self.images.len() - 1
        });
        self.images[at].reached |= site.reached;
        self.images[at].uses.push(site);
    }
}

struct Stages<'g, 'a> {
    graph: &'g Graph<'a>,
    /// Where each state starts from.
    origins: &'g [Origin],
    usage: &'g Usage,
    /// No `SHELL` anywhere: commands are read by the platform's usual shell.
    one_shell: bool,
}

fn has_shell_instruction(graph: &Graph<'_>) -> bool {
    let sections = graph.file.stages.iter();
    let mut instructions = sections.flat_map(|section| &section.instructions);
    instructions.any(|instruction| matches!(instruction.kind, Kind::Shell(_)))
}

impl Stages<'_, '_> {
    fn all(&self) -> Vec<Stage> {
        let states = self.graph.states.iter().enumerate();
        states
            .take(self.graph.file.stages.len())
            .map(|(index, state)| self.stage(index, state))
            .collect()
    }

    fn stage(&self, index: usize, state: &State) -> Stage {
        let usual = self.graph.options.platform();
        let platform = state.platform.as_ref().unwrap_or(usual);
        let posix = self.one_shell && platform.os != "windows";
        let arguments = self.usage.arguments.get(&index);
        // A named context stands in for the whole stage.
        let steps = match &state.context {
            Some(_) => &[],
            None => state.steps.as_slice(),
        };
        Stage {
            label: state.label.clone(),
            line: state.span.start,
            base: self.origins[index].clone(),
            arguments: arguments.cloned().unwrap_or_default(),
            steps: steps.iter().map(|step| self.step(step, posix)).collect(),
        }
    }

    fn step(&self, step: &graph::Step, posix: bool) -> Step {
        let instruction = &step.instruction;
        let sources = step.sources.iter();
        Step {
            line: instruction.span.start,
            keyword: instruction.keyword.to_owned(),
            text: canonical::json(instruction, &self.graph.globals.given, posix),
            sources: sources.map(|state| self.source(*state)).collect(),
            context_paths: context_paths(instruction),
        }
    }

    fn source(&self, state: usize) -> Origin {
        if state < self.graph.file.stages.len() {
            Origin::Stage(state)
        } else {
            self.origins[state].clone()
        }
    }
}

fn context_paths(instruction: &Instruction) -> Vec<String> {
    match &instruction.kind {
        Kind::Copy(copy) if copy.from.is_some() => Vec::new(),
        Kind::Copy(copy) | Kind::Add(copy) => copy.sources.clone(),
        Kind::Run(run) => mount::context_paths(run.mounts.iter().zip(&run.mount_sources)),
        _ => Vec::new(),
    }
}
