//! Runs through the instructions of the stages that are reached, with their variables, and refuses
//! what `BuildKit` refuses before it runs anything (`dockerfile2llb/convert.go` `dispatch` and the
//! functions it calls).

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Graph, State, Step};
use super::scope::Scope;
use super::sources::Sources;
use crate::dockerfile::error::{DockerfileError, Fault};
use crate::dockerfile::read::instruction::{Arg, Copy, Kind, Run};
use crate::dockerfile::read::mount::{self, Mount, MountType};
use crate::dockerfile::read::{port, scalar};
use crate::dockerfile::shell::{Env, Expansion, Options, Quotes, Value};
use crate::fingerprint::Fingerprint;

/// Arguments that never become variables (`nonEnvArgs`).
const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Text after expansion; `None` if only the base image could tell.
type Known = Option<String>;

/// The arguments that a build uses.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// The names of all of them.
    pub names: BTreeSet<String>,
    /// The values that reach the `ARG` instructions of each reached stage from outside.
    pub arguments: BTreeMap<usize, BTreeMap<String, Fingerprint>>,
}

struct Checker<'g, 'a> {
    graph: &'g Graph<'a>,
    scopes: BTreeMap<usize, Scope>,
    done: BTreeSet<usize>,
    usage: Usage,
}

/// Checks the reached stages; tells which arguments they use.
pub(super) fn check_reached(graph: &Graph<'_>) -> Result<Usage, DockerfileError> {
    let states = graph.states.iter().enumerate();
    let needs_no_run = states.filter(|(index, state)| {
        state.user.is_some() || (state.context.is_some() && graph.reached.contains(index))
    });
    let mut checker = Checker {
        graph,
        scopes: BTreeMap::new(),
        done: needs_no_run.map(|(index, _)| index).collect(),
        usage: Usage::default(),
    };
    for &index in &graph.reached {
        for name in &graph.states[index].names {
            graph.globals.trace(name, &mut checker.usage.names);
        }
        if !checker.done.contains(&index) {
            checker.check_stage(index)?;
        }
    }
    Ok(checker.usage)
}

impl Checker<'_, '_> {
    fn check_stage(&mut self, index: usize) -> Result<(), DockerfileError> {
        let state = &self.graph.states[index];
        let mut scope = self.first_scope(index);
        self.done.insert(index);
        for step in &state.steps {
            self.check_step(&mut scope, index, step)
                .map_err(|fault| fault.at(&self.graph.file.source, step.instruction.span))?;
        }
        self.scopes.insert(index, scope);
        Ok(())
    }

    /// What a stage knows before its first instruction.
    fn first_scope(&self, index: usize) -> Scope {
        let state = &self.graph.states[index];
        if let Some(scope) = state.base.and_then(|base| self.scopes.get(&base)) {
            return scope.clone();
        }
        let scratch = state.base.is_none() && state.base_name == "scratch";
        let platform = match (&state.platform, scratch) {
            (Some(platform), false) => platform,
            _ => self.graph.options.platform(),
        };
        let windows = platform.os == "windows";
        Scope::of_image(self.graph.config(index), scratch, windows)
    }

    fn check_step(&mut self, scope: &mut Scope, index: usize, step: &Step) -> Result<(), Fault> {
        let state = &self.graph.states[index];
        match &step.instruction.kind {
            Kind::Arg(args) => self.declare(scope, index, args)?,
            Kind::Env(pairs) => {
                for (key, value) in self.expand_pairs(scope, pairs)? {
                    if let Some(key) = key {
                        scope.variables.insert(key, value);
                    }
                }
            }
            Kind::Label(pairs) => {
                self.expand_pairs(scope, pairs)?;
            }
            Kind::Add(copy) => self.check_copy(scope, copy, true)?,
            Kind::Copy(copy) => {
                self.check_copied_stage(state, step, copy)?;
                self.check_copy(scope, copy, false)?;
            }
            Kind::Run(run) => self.check_run(scope, state, step, run)?,
            Kind::Workdir(path) => {
                let path = self.known(scope, path)?;
                path.iter().try_for_each(|path| scope.check_path(path))?;
                scope.enter(path.as_deref());
            }
            Kind::User(user) => {
                self.known(scope, user)?;
            }
            Kind::Volume(volumes) => self.check_volumes(scope, volumes)?,
            Kind::Stopsignal(signal) => self.check_signal(scope, signal)?,
            Kind::Expose(ports) => self.check_ports(scope, ports)?,
            Kind::From(_)
            | Kind::Cmd(_)
            | Kind::Entrypoint(_)
            | Kind::Healthcheck(_)
            | Kind::Maintainer(_)
            | Kind::Onbuild(_)
            | Kind::Shell(_) => {}
        }
        Ok(())
    }

    fn expand(&self, scope: &Scope, word: &str) -> Result<Expansion, Fault> {
        Options::new(self.graph.file.escape).expand(word, scope)
    }

    fn known(&self, scope: &Scope, word: &str) -> Result<Known, Fault> {
        let expansion = self.expand(scope, word)?;
        Ok((!expansion.uncertain).then_some(expansion.text))
    }

    /// The same of an option; empty if it is not given.
    fn known_option(&self, scope: &Scope, word: Option<&String>) -> Result<Known, Fault> {
        match word {
            Some(word) => self.known(scope, word),
            None => Ok(Some(String::new())),
        }
    }

    fn expand_pairs(
        &self,
        scope: &Scope,
        pairs: &[(String, String)],
    ) -> Result<Vec<(Known, Known)>, Fault> {
        pairs
            .iter()
            .map(|(key, value)| Ok((self.known(scope, key)?, self.known(scope, value)?)))
            .collect()
    }

    /// `dispatchArg`: a build argument, else the default, else the global argument of that name.
    fn declare(&mut self, scope: &mut Scope, index: usize, args: &[Arg]) -> Result<(), Fault> {
        for Arg { key, default } in args {
            let given = self.graph.globals.given.get(key).cloned();
            let (value, outside) = match (given, default) {
                (Some(given), _) => (Some(Some(given)), true),
                (None, Some(default)) => (Some(self.known(scope, default)?), false),
                (None, None) => match self.graph.globals.get(key) {
                    Value::Set(value) => (Some(Some(value.to_owned())), true),
                    _ => (None, false),
                },
            };
            if default.is_none() {
                self.graph.globals.trace(key, &mut self.usage.names);
            } else {
                self.usage.names.insert(key.clone());
            }
            if let (true, Some(Some(value))) = (outside, &value) {
                let fingerprint = Fingerprint::of_argument(key, value);
                let arguments = self.usage.arguments.entry(index).or_default();
                arguments.insert(key.clone(), fingerprint);
            }
            // One without a value leaves what the base image may define.
            if let Some(value) = value.filter(|_| !NO_VARIABLES.contains(&key.as_str())) {
                scope.variables.insert(key.clone(), value);
            }
        }
        Ok(())
    }

    fn check_volumes(&self, scope: &Scope, volumes: &[String]) -> Result<(), Fault> {
        for volume in volumes {
            if self
                .known(scope, volume)?
                .is_some_and(|text| text.is_empty())
            {
                let message = "VOLUME specified can not be an empty string";
                return Err(Fault::new(volume.as_str(), message));
            }
        }
        Ok(())
    }

    fn check_signal(&self, scope: &Scope, signal: &str) -> Result<(), Fault> {
        match self.known(scope, signal)? {
            Some(text) if !scalar::is_signal(&text) => {
                Err(Fault::new(signal, format!("invalid signal: {text}"))
                    .hint("use a name such as SIGTERM, or a number"))
            }
            _ => Ok(()),
        }
    }

    fn check_ports(&self, scope: &Scope, ports: &[String]) -> Result<(), Fault> {
        for word in ports {
            let expansion = self.expand(scope, word)?;
            if !expansion.uncertain {
                let mut specs = expansion.words.iter();
                specs.try_for_each(|spec| port::check(spec))?;
            }
        }
        Ok(())
    }

    /// Refuses to copy from a stage that is worked on later.
    fn check_copied_stage(&self, state: &State, step: &Step, copy: &Copy) -> Result<(), Fault> {
        for (index, from) in step.sources.iter().zip(&copy.from) {
            if !self.done.contains(index) {
                let message = format!(
                    "cannot copy from stage {from:?}, it needs to be defined before current stage {:?}",
                    state.label
                );
                return Err(Fault::new(from.as_str(), message).hint("move that stage up"));
            }
        }
        Ok(())
    }

    /// `RunCommand.Expand`, `dispatchRunMounts`.
    fn check_run(&self, scope: &Scope, state: &State, step: &Step, run: &Run) -> Result<(), Fault> {
        if !run.devices.is_empty() && !self.graph.front_end.has_labs() {
            let message = "device feature is only supported in the labs channel of the front end";
            return Err(Fault::new("--device", message)
                .hint("start the file with # syntax=docker/dockerfile:1-labs"));
        }
        for (value, source) in run.mounts.iter().zip(&step.sources) {
            self.check_mount(scope, value, *source)?;
        }
        // `State.Marshal` writes the command as it is.
        if run.has_raw_bytes {
            let fault = Fault::new("RUN", "string field contains invalid UTF-8");
            return Err(fault.hint("save the file as UTF-8"));
        }
        if run.command.exec && run.command.args.is_empty() {
            let message = "arguments are required";
            return Err(Fault::new(state.label.as_str(), message).hint("name a command"));
        }
        Ok(())
    }

    fn check_mount(&self, scope: &Scope, value: &str, source: usize) -> Result<(), Fault> {
        let mount = mount::parse(value, |text| self.known(scope, text))?;
        let target = mount.target.as_deref().unwrap_or_default();
        let implicit = mount.from.is_empty() && mount.kind == Some(MountType::Cache);
        if (implicit || !mount.from.is_empty()) && !self.done.contains(&source) {
            let message = format!(
                "cannot mount from stage {:?} to {target:?}, stage needs to be defined before current command",
                mount.from
            );
            return Err(Fault::new(mount.from, message).hint("move that stage up"));
        }
        if covers_root(scope, &mount) {
            let message = format!("invalid mount target {target:?}");
            return Err(Fault::new(value, message).hint("add target=/a/folder"));
        }
        Ok(())
    }

    /// `CopyCommand.Expand`, `dispatchCopy`.
    fn check_copy(&self, scope: &Scope, copy: &Copy, add: bool) -> Result<(), Fault> {
        self.known_option(scope, copy.chown.as_ref())?;
        let chmod = self
            .known_option(scope, copy.chmod.as_ref())?
            .unwrap_or_default();
        let checksum = self.known_option(scope, copy.checksum.as_ref())?;
        let mut sources = Vec::new();
        for word in &copy.sources {
            sources.push(self.known(scope, word)?);
        }
        let dest = self.known(scope, &copy.dest)?;
        for doc in copy.inline.iter().filter(|doc| doc.expand) {
            let options = Options {
                quotes: Quotes::Ignore,
                ..Options::new('\\')
            };
            options
                .expand(&doc.text, scope)
                .map_err(|fault| fault.about(&doc.name))?;
        }
        if let Some(dest) = dest {
            scope.check_path(&dest)?;
        }
        if !chmod.is_empty() && !scalar::is_mode(&chmod) {
            let message = format!(
                "invalid chmod parameter: '{chmod}'. it should be octal string and between 0 and 07777"
            );
            return Err(Fault::new(chmod, message));
        }
        Sources {
            scope,
            copy,
            texts: &sources,
            checksum: &checksum.unwrap_or_default(),
            add,
        }
        .check()
    }
}

/// Whether a mount would hide all of the container, for all that is known; secrets and agents' sockets
/// have a place of their own.
fn covers_root(scope: &Scope, mount: &Mount) -> bool {
    if matches!(mount.kind, None | Some(MountType::Secret | MountType::Ssh)) {
        return false;
    }
    let target = mount.target.as_deref();
    target.is_some_and(|target| {
        target == "/"
            || (!target.starts_with('/') && scope.resolved(target).as_deref() == Some("/"))
    })
}
