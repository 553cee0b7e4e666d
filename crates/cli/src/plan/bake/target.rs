//! Targets: the several that a `matrix` makes of one, and what a target says of its build.
//!
//! Follows buildx `bake/bake.go` (`Target.GetEvalContexts`, `Target.GetName`, `Target.Merge`).

use std::collections::{BTreeMap, BTreeSet};

use super::TARGETS_MAX;
use super::attributes::{LISTS, MAPS, OTHERS, TEXTS};
use super::eval::{Evaluator, Scope};
use super::file::{Attribute, Block};
use super::known::Instance;
use super::value::Value;
use crate::plan::described::Described;
use crate::plan::fault::Fault;

/// What a target says of its build; nothing where it says nothing.
#[derive(Debug, Default, Clone)]
pub struct Target {
    pub inherits: Vec<String>,
    context: Option<String>,
    dockerfile: Option<String>,
    inline: Option<String>,
    stage: Option<String>,
    args: BTreeMap<String, String>,
    contexts: BTreeMap<String, String>,
    platforms: Option<Vec<String>>,
}

impl Target {
    /// What a compose file says of a service.
    pub fn of_service(service: &Described) -> Self {
        let service = service.clone();
        Self {
            inherits: Vec::new(),
            context: Some(service.context),
            dockerfile: service.dockerfile,
            inline: service.inline,
            stage: service.target,
            args: service.args,
            contexts: service.contexts,
            platforms: Some(service.platforms).filter(|platforms| !platforms.is_empty()),
        }
    }

    /// Puts another one on top: maps by key, all else as a whole.
    pub fn merge(&mut self, over: &Self) {
        let put = |own: &mut Option<String>, over: &Option<String>| {
            if over.is_some() {
                own.clone_from(over);
            }
        };
        put(&mut self.context, &over.context);
        put(&mut self.dockerfile, &over.dockerfile);
        put(&mut self.inline, &over.inline);
        put(&mut self.stage, &over.stage);
        self.args.extend(over.args.clone());
        self.contexts.extend(over.contexts.clone());
        if over.platforms.is_some() {
            self.platforms.clone_from(&over.platforms);
        }
        self.inherits.extend_from_slice(&over.inherits);
    }

    /// As a build. An empty name of a file is the usual one, an empty context none.
    pub fn described(self, name: &str) -> Described {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let context = self.context.unwrap_or_default();
        let context = context
            .strip_prefix("cwd://")
            .unwrap_or(&context)
            .to_owned();
        Described {
            name: name.to_owned(),
            context: said(Some(context)).unwrap_or_else(|| ".".to_owned()),
            dockerfile: said(self.dockerfile),
            inline: self.inline,
            target: said(self.stage),
            args: self.args,
            platforms: self.platforms.unwrap_or_default(),
            contexts: self
                .contexts
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        }
    }
}

impl<'a> Evaluator<'a> {
    /// The targets that a block makes, by name.
    pub fn instances(&mut self, block: &'a Block) -> Result<Vec<Instance<'a>>, Fault> {
        self.check(block)?;
        let get = |name: &str| block.attributes.get(name);
        let Some(matrix) = get("matrix") else {
            if let Some(name) = get("name") {
                let why = "`name` needs a `matrix`; name the target where its block starts";
                return Err(self.definitions.fault(name.at, why));
            }
            let name = block.label.clone();
            return Ok(vec![Instance {
                block,
                name,
                names: BTreeMap::new(),
            }]);
        };
        let mut instances: Vec<Instance<'a>> = Vec::new();
        let mut seen = BTreeSet::new();
        for names in self.product(matrix)? {
            let name = match get("name") {
                None => block.label.clone(),
                Some(name) => {
                    let scope = Scope {
                        at: name.at,
                        names: names.clone(),
                        outer: None,
                    };
                    let value = self.evaluate(&name.expr, &scope)?;
                    value
                        .text()
                        .map_err(|why| self.definitions.fault(name.at, why))?
                }
            };
            let at = get("name").map_or(block.at, |name| name.at);
            if !is_name(&name) {
                return Err(self.definitions.fault(at, bad_name(&name)));
            }
            if !seen.insert(name.clone()) {
                let why = format!("two targets of the matrix are {name:?}; give `name` a template");
                return Err(self.definitions.fault(at, why));
            }
            instances.push(Instance { block, name, names });
        }
        Ok(instances)
    }

    fn check(&self, block: &Block) -> Result<(), Fault> {
        if !is_name(&block.label) {
            return Err(self.definitions.fault(block.at, bad_name(&block.label)));
        }
        let known = |name: &str| {
            let all = TEXTS.iter().chain(&LISTS).chain(&MAPS).chain(&OTHERS);
            let mut all = all.filter(|known| **known != "targets");
            if block.is_target {
                all.any(|known| *known == name)
            } else {
                ["targets", "description"].contains(&name)
            }
        };
        match block.attributes.iter().find(|(name, _)| !known(name)) {
            None => Ok(()),
            Some((name, attribute)) => {
                let kind = if block.is_target { "target" } else { "group" };
                let why = format!("a {kind} has no attribute {name:?}; {}", super::CURE);
                Err(self.definitions.fault(attribute.at, why))
            }
        }
    }

    /// All the combinations of a matrix's axes.
    fn product(&mut self, matrix: &Attribute) -> Result<Vec<BTreeMap<String, Value>>, Fault> {
        let value = self.evaluate(&matrix.expr, &Scope::top(matrix.at))?;
        let wrong = |why: String| {
            self.definitions
                .fault(matrix.at, format!("`matrix`: {why}"))
        };
        let mut product = vec![BTreeMap::new()];
        for (axis, values) in value.map().map_err(wrong)? {
            let values = match values {
                Value::Map(values) => values.into_values().collect(),
                other => other
                    .list()
                    .map_err(|why| wrong(format!("{axis:?}: {why}")))?,
            };
            if product.len() * values.len() > TARGETS_MAX {
                return Err(wrong(format!("it makes more than {TARGETS_MAX} targets")));
            }
            let with = |value: &Value| {
                let each = product.iter().map(|names| {
                    let mut names = names.clone();
                    names.insert(axis.clone(), value.clone());
                    names
                });
                each.collect::<Vec<_>>()
            };
            product = values.iter().flat_map(with).collect();
        }
        Ok(product)
    }

    /// What a block says of its build.
    pub fn target(&mut self, one: &Instance<'a>) -> Result<Target, Fault> {
        let mut text = |name: &str| match self.own_attribute(one, name)? {
            Some(Value::Text(text)) => Ok::<_, Fault>(Some(text)),
            _ => Ok(None),
        };
        let mut target = Target {
            context: text("context")?,
            dockerfile: text("dockerfile")?,
            inline: text("dockerfile-inline")?,
            stage: text("target")?,
            ..Target::default()
        };
        target.inherits = self.texts(one, "inherits")?.unwrap_or_default();
        target.platforms = self.texts(one, "platforms")?;
        target.args = self.entries(one, "args")?;
        target.contexts = self.entries(one, "contexts")?;
        Ok(target)
    }

    /// A list of texts.
    pub fn texts(&mut self, one: &Instance<'a>, name: &str) -> Result<Option<Vec<String>>, Fault> {
        let value = self.own_attribute(one, name)?;
        let value = value.map(Value::texts).transpose();
        value.map_err(|why| self.definitions.fault(one.block.at, why))
    }

    /// A map of texts; what is null is not there.
    fn entries(
        &mut self,
        one: &Instance<'a>,
        name: &str,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let Some(Value::Map(entries)) = self.own_attribute(one, name)? else {
            return Ok(BTreeMap::new());
        };
        let entries = entries.into_iter().filter_map(|(key, value)| match value {
            Value::Text(text) => Some((key, text)),
            _ => None,
        });
        Ok(entries.collect())
    }
}

/// What buildx allows as a name (`targetNamePattern`).
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn bad_name(name: &str) -> String {
    format!(
        "{name:?} is no name: letters, digits, `_` and `-` may be in it; `sanitize()` makes one"
    )
}
