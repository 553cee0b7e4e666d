//! Bake files: what `docker buildx bake` would build.
//!
//! Follows buildx `bake/bake.go` (`ParseFiles`, `Config.group`, `Config.target`): blocks of one name
//! are merged; a target starts as what it inherits, later parents winning; its own values win over
//! them.
//!
//! | module | holds |
//! |---|---|
//! | [`mod@file`] | the files as they are written |
//! | [`value`] | values of the language |
//! | [`eval`], [`template`] | evaluating expressions and templates |
//! | [`globals`] | variables, functions and attributes of blocks, for all expressions |
//! | [`known`] | what was evaluated so far |
//! | [`functions`] | the functions of the language |
//! | [`attributes`] | the attributes of blocks, and their kinds |
//! | [`target`] | targets, and the several that a matrix makes |

mod attributes;
mod eval;
mod file;
mod functions;
mod globals;
mod known;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

use eval::Evaluator;
use file::{Definitions, Source};
use known::{Instance, Known};
use target::Target;

use super::described::Described;
use super::fault::Fault;
use crate::settings::Environment;

/// What helps where a file needs more of the language than is understood here.
const CURE: &str =
    "write the output of `docker buildx bake --print` to docker-bake.json and name that with -f";
/// Targets, and groups, that files may define.
const TARGETS_MAX: usize = 1_000;
/// How far a target may inherit.
const PARENTS_MAX: usize = 100;

/// The images that `docker buildx bake` builds by default of these files, which are merged in their
/// order. The services of a compose file come before them.
pub fn builds(
    files: Vec<(PathBuf, String)>,
    services: &[Described],
    environment: &Environment,
) -> Result<Vec<Described>, Fault> {
    let sources = files.into_iter().map(|(path, text)| Source { path, text });
    let definitions = Definitions::read(sources.collect())?;
    let mut evaluator = Evaluator::new(&definitions, Known::new(environment));
    let mut bake = Bake::new(&definitions);
    bake.services(services);
    bake.blocks(&mut evaluator)?;
    bake.describe()
}

/// The groups and targets of all files.
struct Bake<'a> {
    definitions: &'a Definitions,
    targets: BTreeMap<String, Target>,
    /// The names of the targets in the order of the files.
    order: Vec<String>,
    groups: BTreeMap<String, Vec<String>>,
}

impl<'a> Bake<'a> {
    fn new(definitions: &'a Definitions) -> Self {
        Self {
            definitions,
            targets: BTreeMap::new(),
            order: Vec::new(),
            groups: BTreeMap::new(),
        }
    }

    fn fault(&self, why: String) -> Fault {
        let last = self.definitions.sources.last();
        Fault::file(
            last.map_or("-".as_ref(), |source| source.path.as_path()),
            why,
        )
    }

    /// Services are targets, and all of them the default.
    fn services(&mut self, services: &[Described]) {
        let mut names = Vec::new();
        for service in services {
            // What a target may not be called, buildx replaces (`sanitizeTargetName`).
            let name = service.name.replace('.', "_");
            self.put(&name, &Target::of_service(service));
            names.push(name);
        }
        if !names.is_empty() {
            self.groups.insert("default".to_owned(), names);
        }
    }

    fn put(&mut self, name: &str, target: &Target) {
        if !self.targets.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.targets
            .entry(name.to_owned())
            .or_default()
            .merge(target);
    }

    fn blocks(&mut self, evaluator: &mut Evaluator<'a>) -> Result<(), Fault> {
        let mut instances: Vec<Instance<'a>> = Vec::new();
        let mut renamed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for block in &self.definitions.blocks {
            let made = evaluator.instances(block)?;
            if instances.len() + made.len() > TARGETS_MAX {
                let why = format!("the files define more than {TARGETS_MAX} groups and targets");
                return Err(self.definitions.fault(block.at, why));
            }
            if block.is_target {
                let names = made.iter().map(|one| one.name.clone());
                renamed.entry(&block.label).or_default().extend(names);
            }
            instances.extend(made);
        }
        evaluator.known.instances.clone_from(&instances);
        for one in &instances {
            if one.block.is_target {
                let target = evaluator.target(one)?;
                self.put(&one.name, &target);
            } else {
                let members = evaluator.texts(one, "targets")?.unwrap_or_default();
                self.groups.insert(one.name.clone(), members);
            }
        }
        // The name of a target with a matrix stands for all that it makes.
        for (name, mut made) in renamed {
            made.dedup();
            if made != [name] {
                self.groups.entry(name.to_owned()).or_insert(made);
            }
        }
        Ok(())
    }

    fn describe(&self) -> Result<Vec<Described>, Fault> {
        if self.targets.is_empty() {
            let why = "it has no `target`; is it a bake file? Name a Dockerfile with -f";
            return Err(self.fault(why.to_owned()));
        }
        let mut names = Vec::new();
        if self.groups.contains_key("default") || self.targets.contains_key("default") {
            self.select("default", &mut names, &mut BTreeMap::new())?;
        } else {
            names.clone_from(&self.order);
        }
        let mut builds = Vec::new();
        let mut next = 0;
        while let Some(name) = names.get(next).cloned() {
            let resolved = self.resolve(&name, &mut BTreeMap::new(), 0)?;
            let one = resolved.unwrap_or_default().described(&name);
            // What a target takes files from is built too (`Config.loadLinks`).
            let used = one.contexts.values();
            for used in used.filter_map(|value| value.strip_prefix("target:")) {
                if used == name {
                    return Err(self.fault(format!("target {name:?} takes files from itself")));
                }
                add(used, &mut names);
            }
            builds.push(one);
            next += 1;
        }
        Ok(builds)
    }

    /// Adds the targets of a group, or a target. A group within itself stands for the target of the
    /// same name, so that `group "app" { targets = ["app", "tools"] }` means what it says.
    fn select<'s>(
        &'s self,
        name: &'s str,
        names: &mut Vec<String>,
        seen: &mut BTreeMap<&'s str, Visit>,
    ) -> Result<(), Fault> {
        if let Some(group) = self.groups.get(name) {
            match seen.get(name) {
                Some(Visit::Done) => return Ok(()),
                Some(Visit::Begun) => {}
                None => {
                    seen.insert(name, Visit::Begun);
                    group
                        .iter()
                        .try_for_each(|member| self.select(member, names, seen))?;
                    seen.insert(name, Visit::Done);
                    return Ok(());
                }
            }
        }
        if !self.targets.contains_key(name) {
            return Err(self.no_target(name));
        }
        add(name, names);
        Ok(())
    }

    fn no_target(&self, name: &str) -> Fault {
        self.fault(format!("there is no target {name:?}"))
    }

    /// A target with what it inherits. Each is merged once on the way, and one that inherits itself
    /// adds nothing to itself (`Config.target`).
    fn resolve<'s>(
        &'s self,
        name: &'s str,
        seen: &mut BTreeMap<&'s str, Option<Target>>,
        depth: usize,
    ) -> Result<Option<Target>, Fault> {
        if let Some(known) = seen.get(name) {
            return Ok(known.clone());
        }
        let own = self.targets.get(name).ok_or_else(|| self.no_target(name))?;
        if depth > PARENTS_MAX {
            return Err(self.fault(format!(
                "target {name:?} inherits over more than {PARENTS_MAX} targets"
            )));
        }
        seen.insert(name, None);
        let mut merged = Target::default();
        for parent in &own.inherits {
            if let Some(parent) = self.resolve(parent, seen, depth + 1)? {
                merged.merge(&parent);
            }
        }
        merged.merge(own);
        merged.inherits.clear();
        seen.insert(name, Some(merged.clone()));
        Ok(Some(merged))
    }
}

/// How far a group was looked at.
enum Visit {
    Begun,
    Done,
}

fn add(name: &str, names: &mut Vec<String>) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}
