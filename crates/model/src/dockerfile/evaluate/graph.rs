//! Stages, what they are based on and copy from, and which of them the target reaches
//! (`BuildKit`'s `dockerfile2llb/convert.go`: `buildDispatchStates` to `resolveStages`).

use std::collections::{BTreeMap, BTreeSet};

use super::arguments::Globals;
use super::options::{BuildOptions, NamedContext};
use super::origin::{Origin, UseKind, WantedImage, check_context_name, parse_image};
use crate::dockerfile::error::{DockerfileError, Fault, Span};
use crate::dockerfile::front_end::FrontEnd;
use crate::dockerfile::platform::Platform;
use crate::dockerfile::read::instruction::{From, Instruction, Kind};
use crate::dockerfile::read::{Dockerfile, Section, lexer, parse};
use crate::dockerfile::shell::{Empty, Options};
use crate::go;
use crate::identity::InheritedConfig;

/// A stage, or an image that is used without a `FROM` of its own.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The name given by `AS`, or what `BuildKit` shows for a nameless stage; an image's name.
    pub label: String,
    /// The base with its variables replaced.
    pub base_name: String,
    /// The base as written.
    pub base_text: String,
    /// The stage that it is based on.
    pub base: Option<usize>,
    /// The named context that stands in for the stage.
    pub context: Option<NamedContext>,
    /// `--platform`.
    pub platform: Option<Platform>,
    /// The states that it copies or mounts from.
    pub deps: Vec<usize>,
    pub steps: Vec<Step>,
    pub span: Span,
    /// Who uses it, for an image without a stage.
    pub user: Option<(usize, UseKind)>,
    /// The global arguments that its `FROM` named.
    pub names: Vec<String>,
    triggers_done: bool,
}

/// An instruction of a stage.
#[derive(Debug)]
pub(super) struct Step {
    pub instruction: Instruction,
    /// The states that it copies or mounts from, one for each mount.
    pub sources: Vec<usize>,
}

/// All states, in the order in which they are worked on.
pub(super) struct Graph<'a> {
    pub file: &'a Dockerfile,
    pub options: &'a BuildOptions,
    pub front_end: FrontEnd,
    pub globals: Globals,
    pub states: Vec<State>,
    pub target: usize,
    pub reached: BTreeSet<usize>,
    by_name: BTreeMap<String, usize>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        file: &'a Dockerfile,
        options: &'a BuildOptions,
    ) -> Result<Self, DockerfileError> {
        let mut graph = Self {
            globals: Globals::new(file, options)?,
            front_end: FrontEnd::named(file.syntax.as_ref(), &options.build_args),
            file,
            options,
            states: Vec::new(),
            target: 0,
            reached: BTreeSet::new(),
            by_name: BTreeMap::new(),
        };
        for (index, section) in file.stages.iter().enumerate() {
            graph.add_stage(index, section)?;
        }
        graph.target = graph.find_target()?;
        for (index, section) in file.stages.iter().enumerate() {
            for instruction in &section.instructions {
                let step = graph.resolve_step(index, instruction.clone())?;
                graph.states[index].steps.push(step);
            }
        }
        graph.refuse_cycles()?;
        graph.reach()?;
        Ok(graph)
    }

    fn add_stage(&mut self, index: usize, section: &Section) -> Result<(), DockerfileError> {
        let state = self
            .new_state(index, section)
            .map_err(|fault| fault.at(&self.file.source, section.span))?;
        self.states.push(state);
        if let Some(name) = &section.from.name {
            self.by_name.insert(name.clone(), index);
        }
        Ok(())
    }

    fn new_state(&self, index: usize, section: &Section) -> Result<State, Fault> {
        let from = &section.from;
        let (base_name, mut names) = self.expand(&from.base)?;
        if base_name.is_empty() {
            let message = format!("base name ({}) should not be blank", from.base);
            let hint = "give the argument a default before the first FROM";
            return Err(Fault::new(from.base.as_str(), message).hint(hint));
        }
        let platform = self.platform(from, &mut names)?;
        let mut context = None;
        if let Some(name) = &from.name {
            check_context_name(name)?;
            let wanted = platform.as_ref().unwrap_or(self.options.platform());
            context = self.options.context(name, wanted).cloned();
        }
        let earlier = self.by_name.get(&base_name).copied();
        let label = from.name.clone();
        Ok(State {
            label: label.unwrap_or_else(|| format!("stage-{index}")),
            base: earlier.filter(|_| context.is_none()),
            base_name,
            base_text: from.base.clone(),
            context,
            platform,
            span: section.span,
            names,
            ..State::default()
        })
    }

    /// The `--platform` of a `FROM`; the arguments that it names are added to `names`.
    fn platform(&self, from: &From, names: &mut Vec<String>) -> Result<Option<Platform>, Fault> {
        let Some(text) = &from.platform else {
            return Ok(None);
        };
        let (value, used) = self.expand(text)?;
        if value.is_empty() {
            let message = format!("empty platform value from expression {text}");
            return Err(Fault::new(text.as_str(), message));
        }
        names.extend(used);
        match Platform::parse(&value, &self.options.build_platform) {
            Ok(platform) => Ok(Some(platform)),
            Err(error) => {
                let message = format!("failed to parse platform {text}: {error}");
                Err(Fault::new(text.as_str(), message))
            }
        }
    }

    /// Replaces the global arguments in a word of a `FROM`; also says which these are.
    fn expand(&self, word: &str) -> Result<(String, Vec<String>), Fault> {
        let expansion = Options::new(self.file.escape).expand(word, &self.globals)?;
        Ok((expansion.text, expansion.names))
    }

    fn find_target(&self) -> Result<usize, DockerfileError> {
        let target = self.options.target.as_deref();
        let Some(name) = target.filter(|name| !name.is_empty()) else {
            return Ok(self.states.len() - 1);
        };
        self.stage_named(name).ok_or_else(|| {
            let known: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
            let hint = if known.is_empty() {
                "no stage has a name; write FROM image AS name".to_owned()
            } else {
                format!("stages are: {}", known.join(", "))
            };
            Fault::new(name, format!("target stage {name:?} could not be found"))
                .hint(hint)
                .at(&self.file.source, Span::default())
        })
    }

    fn stage_named(&self, name: &str) -> Option<usize> {
        self.by_name.get(&go::to_lower(name)).copied()
    }

    /// What a state starts from, and the named context that says so (`resolveBaseImage`, which
    /// refuses a malformed name also where nothing reaches it).
    pub(super) fn origin(&self, index: usize) -> Result<(Origin, Option<String>), DockerfileError> {
        let state = &self.states[index];
        self.origin_of(state)
            .map_err(|fault| fault.at(&self.file.source, state.span))
    }

    fn origin_of(&self, state: &State) -> Result<(Origin, Option<String>), Fault> {
        if let Some(base) = state.base {
            return Ok((Origin::Stage(base), None));
        }
        if state.base_name == "scratch" && state.context.is_none() {
            return Ok((Origin::Scratch, None));
        }
        let own = parse_image(&state.base_name, &state.base_text)?;
        let platform = state.platform.as_ref().unwrap_or(self.options.platform());
        let context = match &state.context {
            Some(context) => Some((state.label.clone(), context)),
            None => self
                .options
                .context(&own.to_string(), platform)
                .map(|context| (own.familiar(), context)),
        };
        let (name, context) = context.unzip();
        let reference = match context {
            None => own,
            Some(NamedContext::Image(image)) if image == "scratch" => {
                return Ok((Origin::Scratch, name));
            }
            Some(NamedContext::Image(image)) => parse_image(image, &state.base_text)?,
            Some(other) => return Ok((Origin::Context(other.clone()), name)),
        };
        if let Some(build) = self.options.built.get(&reference) {
            let context = NamedContext::Target(build.clone());
            return Ok((Origin::Context(context), Some(reference.familiar())));
        }
        let platform = platform.clone();
        let image = WantedImage {
            reference,
            platform,
        };
        Ok((Origin::Image(image), name))
    }

    pub(super) fn config(&self, index: usize) -> Option<&'a InheritedConfig> {
        match self.origin(index).ok()?.0 {
            Origin::Image(image) => {
                let configs = &self.options.image_configs;
                configs.get(&(image.reference, image.platform))
            }
            _ => None,
        }
    }

    /// Finds what an instruction copies or mounts from (`toCommand`, `detectRunMount`).
    fn resolve_step(
        &mut self,
        owner: usize,
        instruction: Instruction,
    ) -> Result<Step, DockerfileError> {
        let span = instruction.span;
        let mut sources = Vec::new();
        match &instruction.kind {
            Kind::Copy(copy) => {
                if let Some(from) = &copy.from {
                    let stage = self
                        .copied_stage(from)
                        .map_err(|fault| fault.at(&self.file.source, span))?;
                    sources.push(
                        stage.unwrap_or_else(|| self.add_image(owner, UseKind::Copy, from, span)),
                    );
                }
            }
            Kind::Run(run) => {
                for from in &run.mount_sources {
                    let from = from.as_deref().unwrap_or("scratch");
                    let state = self
                        .stage_named(from)
                        .unwrap_or_else(|| self.add_image(owner, UseKind::Mount, from, span));
                    sources.push(state);
                }
            }
            _ => {}
        }
        let deps = &mut self.states[owner].deps;
        deps.extend(&sources);
        Ok(Step {
            instruction,
            sources,
        })
    }

    /// The stage that a `--from` names by number or name; `None` if it is an image.
    fn copied_stage(&self, from: &str) -> Result<Option<usize>, Fault> {
        let expanded = Options::new(self.file.escape).expand(from, &Empty)?;
        if expanded.text != from {
            let message = "variable expansion is not supported for --from";
            let hint = "add FROM $VARIABLE AS name, then --from=name";
            return Err(Fault::new(from, message).hint(hint));
        }
        match from.parse::<i64>() {
            Err(_) => Ok(self.stage_named(from)),
            Ok(index) => match usize::try_from(index) {
                // Images count, too: `BuildKit` keeps them in the same list.
                Ok(index) if index < self.states.len() => Ok(Some(index)),
                _ => Err(Fault::new(from, format!("invalid stage index {index}"))
                    .hint(format!("the last stage is {}", self.file.stages.len() - 1))),
            },
        }
    }

    fn add_image(&mut self, owner: usize, kind: UseKind, name: &str, span: Span) -> usize {
        self.states.push(State {
            label: name.to_owned(),
            base_name: name.to_owned(),
            base_text: name.to_owned(),
            span,
            user: Some((owner, kind)),
            ..State::default()
        });
        self.states.len() - 1
    }

    /// `validateCircularDependency`: copying in a circle; bases cannot form one.
    fn refuse_cycles(&self) -> Result<(), DockerfileError> {
        let (mut open, mut done) = (BTreeSet::new(), BTreeSet::new());
        for start in 0..self.states.len() {
            // The way from `start` to here, each state with the number of its next dependency.
            let mut path = vec![(start, 0)];
            while let Some((at, next)) = path.pop() {
                if done.contains(&at) {
                    continue;
                }
                open.insert(at);
                let Some(&dep) = self.states[at].deps.get(next) else {
                    open.remove(&at);
                    done.insert(at);
                    continue;
                };
                if open.contains(&dep) {
                    return Err(self.cycle(at, dep));
                }
                path.push((at, next + 1));
                path.push((dep, 0));
            }
        }
        Ok(())
    }

    fn cycle(&self, at: usize, dep: usize) -> DockerfileError {
        let state = &self.states[at];
        let mut steps = state.steps.iter();
        let step = steps.find(|step| step.sources.contains(&dep));
        let span = step.map_or(state.span, |step| step.instruction.span);
        let message = format!("circular dependency detected on stage: {}", state.label);
        let written = step.and_then(|step| match &step.instruction.kind {
            Kind::Copy(copy) => copy.from.as_deref(),
            _ => None,
        });
        let from = written.unwrap_or(&self.states[dep].label);
        Fault::new(format!("from={from}"), message)
            .hint("a stage cannot copy from itself or from one that copies from it")
            .at(&self.file.source, span)
    }

    /// Marks what the target needs; triggers of base stages may add to it (`resolveStages`).
    fn reach(&mut self) -> Result<(), DockerfileError> {
        loop {
            self.reached = self.reachable();
            let mut grew = false;
            for state in self.reached.clone() {
                grew |= self.run_triggers(state)?;
            }
            if !grew {
                return Ok(());
            }
        }
    }

    fn reachable(&self) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut open = vec![self.target];
        while let Some(at) = open.pop() {
            if reached.insert(at) {
                open.extend(self.states[at].base);
                open.extend(&self.states[at].deps);
            }
        }
        reached
    }

    /// Puts the `ONBUILD` instructions of a stage's base before its own (`initOnBuildTriggers`).
    /// Says whether they copy or mount from anywhere.
    fn run_triggers(&mut self, at: usize) -> Result<bool, DockerfileError> {
        let state = &self.states[at];
        if state.triggers_done || state.user.is_some() {
            return Ok(false);
        }
        let triggers = self.triggers(at);
        self.states[at].triggers_done = true;
        let mut steps = Vec::new();
        for (text, span) in triggers {
            steps.push(self.trigger(at, &text, span)?);
        }
        let grew = steps.iter().any(|step| !step.sources.is_empty());
        self.states[at].steps.splice(..0, steps);
        Ok(grew)
    }

    fn triggers(&self, at: usize) -> Vec<(String, Span)> {
        let state = &self.states[at];
        if let Some(base) = state.base {
            let steps = self.states[base].steps.iter();
            let own = steps.filter_map(|step| match &step.instruction.kind {
                Kind::Onbuild(text) => Some((text.clone(), step.instruction.span)),
                _ => None,
            });
            return own.collect();
        }
        let config = self.config(at).into_iter();
        let texts = config.flat_map(|config| &config.onbuild);
        texts.map(|text| (text.clone(), state.span)).collect()
    }

    fn trigger(&mut self, at: usize, text: &str, span: Span) -> Result<Step, DockerfileError> {
        // What is wrong in a trigger's text is shown at the line of the FROM or ONBUILD.
        let lexed = lexer::lex(text).map_err(|error| DockerfileError {
            line: span.start,
            column: 1,
            ..error
        })?;
        let read = if let Ok([node]) = <[_; 1]>::try_from(lexed.nodes) {
            parse::instruction(node)
        } else {
            let message = "onbuild trigger should be a single expression";
            Err(Fault::new(text, message))
        };
        let mut instruction = read.map_err(|fault| fault.at(&self.file.source, span))?;
        instruction.span = span;
        self.resolve_step(at, instruction)
    }
}
