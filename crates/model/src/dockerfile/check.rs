//! Runs through the instructions of the stages that are reached, with their variables, and refuses
//! what `BuildKit` refuses before it runs anything (`dockerfile2llb/convert.go` `dispatch` and the
//! functions it calls).

use std::collections::{BTreeMap, BTreeSet};

use super::error::{DockerfileError, Fault};
use super::expand::{Env, Options, Quotes, Value};
use super::graph::{Graph, State, Step};
use super::instruction::{Arg, Copy, Kind, Run};
use super::mount::{self, MountType};
use super::source::{self, Source};
use super::{port, scalar};
use crate::fingerprint::Fingerprint;
use crate::oci::Digest;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments that never become variables (`nonEnvArgs`).
const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// What a stage knows at some instruction.
#[derive(Debug, Clone, Default)]
struct Scope {
    /// Variables; without a value if it came from something unknown.
    variables: BTreeMap<String, Option<String>>,
    /// Names that an `ARG` of the file declares, without a value here.
    declared: BTreeSet<String>,
    /// A base image may define more.
    open: bool,
    windows: bool,
    workdir: String,
}

impl Env for Scope {
    fn get(&self, name: &str) -> Value<'_> {
        match self.variables.get(name) {
            Some(Some(value)) => Value::Set(value),
            Some(None) => Value::Unknown,
            None if self.open && !self.declared.contains(name) => Value::Unknown,
            None => Value::Unset,
        }
    }
}

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
pub(super) fn run(graph: &Graph<'_>) -> Result<Usage, DockerfileError> {
    let ready = |(index, state): (usize, &State)| {
        let finished =
            state.user.is_some() || (state.context.is_some() && graph.reached.contains(&index));
        finished.then_some(index)
    };
    let mut checker = Checker {
        graph,
        scopes: BTreeMap::new(),
        done: graph.states.iter().enumerate().filter_map(ready).collect(),
        usage: Usage::default(),
    };
    for &index in &graph.reached {
        for name in &graph.states[index].names {
            graph.globals.trace(name, &mut checker.usage.names);
        }
        if !checker.done.contains(&index) {
            checker.stage(index)?;
        }
    }
    Ok(checker.usage)
}

impl Checker<'_, '_> {
    fn stage(&mut self, index: usize) -> Result<(), DockerfileError> {
        let state = &self.graph.states[index];
        let mut scope = self.inherited(index);
        self.done.insert(index);
        for step in &state.steps {
            self.step(&mut scope, index, step)
                .map_err(|fault| fault.at(&self.graph.file.source, step.instruction.span))?;
        }
        self.scopes.insert(index, scope);
        Ok(())
    }

    fn inherited(&self, index: usize) -> Scope {
        let state = &self.graph.states[index];
        if let Some(scope) = state.base.and_then(|base| self.scopes.get(&base)) {
            return scope.clone();
        }
        let scratch = state.base.is_none() && state.base_name == "scratch";
        let platform = match (&state.platform, scratch) {
            (Some(platform), false) => platform,
            _ => self.graph.options.platform(),
        };
        let config = self.graph.config(index);
        let mut scope = Scope {
            // Nobody declares an argument that the base image already defines.
            declared: self.global_names(),
            open: !scratch && config.is_none(),
            windows: platform.os == "windows",
            workdir: "/".to_owned(),
            ..Scope::default()
        };
        if let Some(config) = config {
            let value = |value: &Option<String>| Some(value.clone().unwrap_or_default());
            let pairs = config.env.iter();
            let pairs = pairs.map(|(name, text)| (name.clone(), value(text)));
            scope.variables = pairs.collect();
            scope.workdir = joined("/", &config.workdir);
        }
        if !scope.open && !scope.windows {
            let path = scope.variables.entry("PATH".to_owned());
            path.or_insert_with(|| Some(DEFAULT_PATH.to_owned()));
        }
        scope
    }

    fn global_names(&self) -> BTreeSet<String> {
        let args = self.graph.file.globals.iter().flat_map(|(args, _)| args);
        args.map(|arg| arg.key.clone()).collect()
    }

    fn step(&mut self, scope: &mut Scope, index: usize, step: &Step) -> Result<(), Fault> {
        let state = &self.graph.states[index];
        match &step.instruction.kind {
            Kind::Arg(args) => self.arg(scope, index, args)?,
            Kind::Env(pairs) => {
                let known = self.pairs(scope, pairs)?;
                for (key, value) in known {
                    if let Some(key) = key {
                        scope.variables.insert(key, value);
                    }
                }
            }
            Kind::Label(pairs) => {
                self.pairs(scope, pairs)?;
            }
            Kind::Add(copy) => self.copy(scope, copy, true)?,
            Kind::Copy(copy) => {
                self.in_order(state, step, "cannot copy from stage", copy.from.as_deref())?;
                self.copy(scope, copy, false)?;
            }
            Kind::Run(run) => self.run(scope, state, step, run)?,
            Kind::Workdir(path) => {
                if let Some(path) = self.text(scope, path)? {
                    check_path(scope, &path)?;
                    scope.workdir = joined(&scope.workdir, &path);
                }
            }
            Kind::User(user) => {
                self.text(scope, user)?;
            }
            Kind::Volume(volumes) => {
                for volume in volumes {
                    if self
                        .text(scope, volume)?
                        .is_some_and(|text| text.is_empty())
                    {
                        let message = "VOLUME specified can not be an empty string";
                        return Err(Fault::new(volume.as_str(), message));
                    }
                }
            }
            Kind::Stopsignal(signal) => {
                let known = self.text(scope, signal)?;
                if let Some(text) = known.filter(|text| !scalar::is_signal(text)) {
                    let message = format!("invalid signal: {text}");
                    return Err(Fault::new(signal.as_str(), message)
                        .hint("use a name such as SIGTERM, or a number"));
                }
            }
            Kind::Expose(ports) => self.expose(scope, ports)?,
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

    /// Replaces the variables of one word.
    fn text(&self, scope: &Scope, word: &str) -> Result<Known, Fault> {
        let expansion = Options::new(self.graph.file.escape)
            .expand(word, scope)
            .map_err(|reason| Fault::new(word, reason))?;
        Ok((!expansion.uncertain).then_some(expansion.text))
    }

    fn pairs(
        &self,
        scope: &Scope,
        pairs: &[(String, String)],
    ) -> Result<Vec<(Known, Known)>, Fault> {
        let both = |(key, value): &(String, String)| {
            Ok((self.text(scope, key)?, self.text(scope, value)?))
        };
        pairs.iter().map(both).collect()
    }

    /// `dispatchArg`: a build argument, else the default, else the global argument of that name.
    fn arg(&mut self, scope: &mut Scope, index: usize, args: &[Arg]) -> Result<(), Fault> {
        for Arg { key, default } in args {
            let given = self.graph.options.build_args.get(key).cloned();
            let (value, outside) = match (given, default) {
                (Some(given), _) => (Some(Some(given)), true),
                (None, Some(default)) => (Some(self.text(scope, default)?), false),
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
            match value {
                Some(_) if NO_VARIABLES.contains(&key.as_str()) => {}
                Some(value) => {
                    scope.variables.insert(key.clone(), value);
                }
                None => {
                    scope.declared.insert(key.clone());
                }
            }
        }
        Ok(())
    }

    fn expose(&self, scope: &Scope, ports: &[String]) -> Result<(), Fault> {
        for word in ports {
            let expansion = Options::new(self.graph.file.escape)
                .expand(word, scope)
                .map_err(|reason| Fault::new(word.as_str(), reason))?;
            if expansion.uncertain {
                continue;
            }
            expansion
                .words
                .iter()
                .try_for_each(|spec| port::check(spec))?;
        }
        Ok(())
    }

    /// Refuses a source that is worked on later than its user.
    fn in_order(
        &self,
        state: &State,
        step: &Step,
        what: &str,
        from: Option<&str>,
    ) -> Result<(), Fault> {
        for (index, from) in step.sources.iter().zip(from) {
            if !self.done.contains(index) {
                let message = format!(
                    "{what} {from:?}, it needs to be defined before current stage {:?}",
                    state.label
                );
                return Err(Fault::new(from, message).hint("move that stage up"));
            }
        }
        Ok(())
    }

    /// `RunCommand.Expand`, `dispatchRunMounts`.
    fn run(&self, scope: &Scope, state: &State, step: &Step, run: &Run) -> Result<(), Fault> {
        if !run.devices.is_empty() {
            let message = "device feature is only supported in the labs channel of the front end";
            return Err(Fault::new("--device", message)
                .hint("start the file with # syntax=docker/dockerfile:1-labs"));
        }
        for (index, value) in run.mounts.iter().enumerate() {
            let mut uncertain = false;
            let parsed = mount::parse(value, |text| {
                let known = self.text(scope, text)?;
                uncertain |= known.is_none();
                Ok(known.unwrap_or_default())
            });
            let mount = match parsed {
                Err(_) if uncertain => continue,
                parsed => parsed?,
            };
            let implicit = mount.from.is_empty() && mount.kind == MountType::Cache;
            let source = step.sources[index];
            if (implicit || !mount.from.is_empty()) && !self.done.contains(&source) {
                let message = format!(
                    "cannot mount from stage {:?} to {:?}, stage needs to be defined before current command",
                    mount.from, mount.target
                );
                return Err(Fault::new(mount.from, message).hint("move that stage up"));
            }
            let placed = !matches!(mount.kind, MountType::Secret | MountType::Ssh);
            let root = mount.target == "/"
                || (!mount.target.starts_with('/') && joined(&scope.workdir, &mount.target) == "/");
            if placed && root && !uncertain {
                let message = format!("invalid mount target {:?}", mount.target);
                return Err(Fault::new(value.as_str(), message).hint("add target=/a/folder"));
            }
        }
        if run.command.exec && run.command.args.is_empty() {
            let message = "arguments are required";
            return Err(Fault::new(state.label.as_str(), message).hint("name a command"));
        }
        Ok(())
    }

    /// `CopyCommand.Expand`, `dispatchCopy`.
    fn copy(&self, scope: &Scope, copy: &Copy, add: bool) -> Result<(), Fault> {
        let option = |word: &Option<String>| match word {
            Some(word) => self.text(scope, word),
            None => Ok(Some(String::new())),
        };
        option(&copy.chown)?;
        let chmod = option(&copy.chmod)?.unwrap_or_default();
        let checksum = option(&copy.checksum)?.unwrap_or_default();
        let mut sources = Vec::new();
        for word in &copy.sources {
            sources.push(self.text(scope, word)?);
        }
        let dest = self.text(scope, &copy.dest)?;
        for doc in copy.inline.iter().filter(|doc| doc.expand) {
            let options = Options {
                quotes: Quotes::Ignore,
                ..Options::new('\\')
            };
            options
                .expand(&doc.text, scope)
                .map_err(|reason| Fault::new(doc.name.as_str(), reason))?;
        }
        if let Some(dest) = dest {
            check_path(scope, &dest)?;
        }
        if !chmod.is_empty() && !scalar::is_mode(&chmod) {
            let message = format!(
                "invalid chmod parameter: '{chmod}'. it should be octal string and between 0 and 07777"
            );
            return Err(Fault::new(chmod, message));
        }
        check_sources(scope, copy, &sources, &checksum, add)
    }
}

fn check_sources(
    scope: &Scope,
    copy: &Copy,
    sources: &[Known],
    checksum: &str,
    add: bool,
) -> Result<(), Fault> {
    let keep = copy.keep_git_dir.is_some();
    if !checksum.is_empty() {
        if sources.len() != 1 {
            let message = "checksum can't be specified for multiple sources";
            return Err(Fault::new(checksum, message));
        }
        let local = |only: &Known| {
            let only = only.as_deref();
            only.is_some_and(|text| source::classify(text, keep) == Ok(Source::Local))
        };
        if sources.first().is_some_and(local) {
            let message = "checksum requires HTTP(S) or Git sources";
            return Err(Fault::new(checksum, message));
        }
    }
    let (mut keep_git_dir, mut checksum) = (copy.keep_git_dir, checksum);
    for text in sources.iter().flatten() {
        let refuse = |message: String| Err(Fault::new(text.as_str(), message));
        match source::classify(text, keep)? {
            Source::Git(_) if !add => {
                return Err(
                    Fault::new(text.as_str(), "source can't be a git ref for COPY").hint("use ADD"),
                );
            }
            Source::Http if !add => {
                return Err(
                    Fault::new(text.as_str(), "source can't be a URL for COPY").hint("use ADD")
                );
            }
            Source::Git(wanted) => {
                if keep_git_dir.is_some_and(|keep| wanted.keep_git_dir == Some(!keep)) {
                    return refuse("inconsistent keep-git-dir configuration".to_owned());
                }
                keep_git_dir = wanted.keep_git_dir.or(keep_git_dir);
                let commit = wanted.checksum.unwrap_or(checksum);
                if !checksum.is_empty() && commit != checksum {
                    return refuse(format!("checksum mismatch {checksum:?} != {commit:?}"));
                }
                checksum = commit;
            }
            Source::Http if !checksum.is_empty() => check_digest(checksum)?,
            Source::Http => {}
            Source::Local => check_path(scope, text)?,
        }
    }
    Ok(())
}

fn check_digest(text: &str) -> Result<(), Fault> {
    match text.parse::<Digest>() {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!("invalid checksum {text:?}: {}", error.reason());
            Err(Fault::new(text, message).hint("write sha256: and 64 hexadecimal digits"))
        }
    }
}

/// `system.CheckSystemDriveAndRemoveDriveLetter`: on Windows a path is on drive C.
fn check_path(scope: &Scope, path: &str) -> Result<(), Fault> {
    if !scope.windows {
        return Ok(());
    }
    let reason = match path.replace('\\', "/").split_once(':') {
        Some((_, "")) if path.len() == 2 => "no path is given behind the drive",
        Some((drive, _)) if !drive.eq_ignore_ascii_case("c") => {
            "the specified path is not on the system drive (C:)"
        }
        None if path.replace('\\', "/").starts_with("//") => "UNC paths are not supported",
        _ => return Ok(()),
    };
    Err(Fault::new(path, reason))
}

/// A path joined to the folder it is relative to, without `.` and `..`.
fn joined(folder: &str, path: &str) -> String {
    let absolute = path.starts_with('/');
    let whole = if absolute {
        path.to_owned()
    } else {
        format!("{folder}/{path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
