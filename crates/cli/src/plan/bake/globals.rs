//! What the files define for all expressions: variables, functions, and the attributes of blocks.
//!
//! Follows buildx `bake/hclparser/hclparser.go` (`resolveValue`, `resolveFunction`, `resolveBlock`),
//! but for one thing: what no build depends on is not evaluated, so a label may hold the time.

use std::collections::BTreeMap;

use hcl_edit::Decorated;
use hcl_edit::expr::{Expression, TraversalOperator};

use super::attributes::typed;
use super::eval::{Evaluator, Scope, Stop};
use super::file::{At, Attribute, Block};
use super::known::Instance;
use super::value::Value;
use crate::plan::fault::Fault;

impl<'a> Evaluator<'a> {
    /// The value of a variable, or of an attribute outside of all blocks.
    pub fn global(&mut self, name: &str) -> Result<Value, Stop> {
        if let Some(value) = self.known.globals.get(name) {
            return Ok(value.clone());
        }
        let definitions = self.definitions;
        let variable = definitions.variables.get(name);
        let attribute = definitions.attributes.get(name);
        if variable.is_none() && attribute.is_none() {
            return Err(Stop::Here(format!(
                "there is no variable {name:?}; declare it with `variable \"{name}\" {{ }}`"
            )));
        }
        let default = attribute.or_else(|| variable.and_then(|one| one.attributes.get("default")));
        let default = default.map(|default| {
            self.alone(&format!("variable {name:?}"), |own| {
                Ok(own.evaluate(&default.expr, &Scope::top(default.at))?)
            })
        });
        let given = variable.and_then(|one| Some((one, self.known.environment.get(name)?)));
        let value = match (given, default) {
            (None, default) => default.transpose()?.unwrap_or_else(|| String::new().into()),
            (Some((block, text)), default) => {
                if let Some(kind) = block.attributes.get("type") {
                    self.check_type(kind)?;
                }
                // What cannot be evaluated here, such as the time, is a text.
                let default = default.and_then(Result::ok);
                given_value(text, default.as_ref()).map_err(|why| {
                    let why = format!("variable {name:?} is {text:?} in the environment: {why}");
                    definitions.fault(block.at, why)
                })?
            }
        };
        self.known.globals.insert(name.to_owned(), value.clone());
        Ok(value)
    }

    /// Newer versions of buildx read lists and maps from the environment where a type says so.
    fn check_type(&self, kind: &Attribute) -> Result<(), Stop> {
        let simple = match &kind.expr {
            Expression::Variable(name) => {
                ["string", "bool", "number", "any"].contains(&name.as_str())
            }
            _ => false,
        };
        if simple {
            return Ok(());
        }
        let why = format!(
            "a variable of this type is not read from the environment; {}",
            super::CURE
        );
        Err(self.definitions.fault(kind.at, why).into())
    }

    /// Does something that may not need itself.
    fn alone<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        if !self.known.waiting.insert(what.to_owned()) {
            return Err(Stop::Here(format!("{what} needs itself")));
        }
        let done = work(self);
        self.known.waiting.remove(what);
        done
    }

    /// Calls a function of the files.
    pub fn own_function(&mut self, name: &str, arguments: Vec<Value>) -> Result<Value, Stop> {
        let Some(block) = self.definitions.functions.get(name) else {
            return Err(Stop::Here(format!(
                "there is no function {name:?}; {}",
                super::CURE
            )));
        };
        let missing = |what: &str| {
            let why = format!("function {name:?} has no `{what}`");
            self.definitions.fault(block.at, why)
        };
        let params = block
            .attributes
            .get("params")
            .ok_or_else(|| missing("params"))?;
        let result = block
            .attributes
            .get("result")
            .ok_or_else(|| missing("result"))?;
        let params = self.parameters(params)?;
        let rest = match block.attributes.get("variadic_params") {
            Some(rest) => Some(self.parameter(rest.at, &rest.expr)?),
            None => None,
        };
        if arguments.len() < params.len() || (rest.is_none() && arguments.len() > params.len()) {
            return Err(Stop::Here(format!(
                "{name}() takes {} arguments, {} are given",
                params.len(),
                arguments.len()
            )));
        }
        let mut arguments = arguments.into_iter();
        let mut names: BTreeMap<_, _> = params.into_iter().zip(arguments.by_ref()).collect();
        if let Some(rest) = rest {
            names.insert(rest, Value::List(arguments.collect()));
        }
        let scope = Scope {
            at: result.at,
            names,
            outer: None,
        };
        self.alone(&format!("function {name:?}"), |own| {
            Ok(own.evaluate(&result.expr, &scope)?)
        })
    }

    fn parameters(&self, params: &Attribute) -> Result<Vec<String>, Fault> {
        let Expression::Array(array) = &params.expr else {
            let why = "`params` is not a list of names, as in `params = [a, b]`";
            return Err(self.definitions.fault(params.at, why));
        };
        array
            .iter()
            .map(|one| self.parameter(params.at, one))
            .collect()
    }

    /// The name of a parameter: a bare word, in JSON a text.
    fn parameter(&self, at: At, expr: &Expression) -> Result<String, Fault> {
        match expr {
            Expression::Variable(name) => Ok(name.to_string()),
            Expression::String(name) if !self.definitions.has_places(at.file) => {
                Ok(name.value().clone())
            }
            _ => Err(self.definitions.fault(at, "a parameter is not a bare name")),
        }
    }

    /// `target.NAME.ATTRIBUTE…` and `group.NAME.targets`: what the block itself says, without what it
    /// inherits.
    pub fn block_reference(
        &mut self,
        is_target: bool,
        steps: &[Decorated<TraversalOperator>],
        scope: &Scope<'_>,
    ) -> Result<Value, Stop> {
        let kind = if is_target { "target" } else { "group" };
        let ([name, attribute], rest) = steps.split_at(steps.len().min(2)) else {
            let why = format!("`{kind}` stands for a block here; write `{kind}.NAME.ATTRIBUTE`");
            return Err(Stop::Here(why));
        };
        let mut path = Vec::new();
        for step in [name, attribute] {
            path.push(match step.value() {
                TraversalOperator::GetAttr(name) => name.to_string(),
                TraversalOperator::Index(index) => self.evaluate(index, scope)?.text()?,
                _ => return Err(Stop::Here(format!("write `{kind}.NAME.ATTRIBUTE`"))),
            });
        }
        let (name, attribute) = (&path[0], &path[1]);
        let instances = self.known.instances.iter();
        let mut instances = instances.filter(|one| one.block.is_target == is_target);
        let found = instances.rfind(|one| one.name == *name).cloned();
        let found = found.ok_or_else(|| format!("there is no {kind} {name:?} here"))?;
        let value = self.alone(&format!("{kind}.{name}.{attribute}"), |own| {
            Ok(own.own_attribute(&found, attribute)?.unwrap_or(Value::Null))
        })?;
        self.walk(value, rest, scope)
    }

    /// An attribute of a block, in the kind that it has there.
    pub fn own_attribute(
        &mut self,
        instance: &Instance<'a>,
        name: &str,
    ) -> Result<Option<Value>, Fault> {
        let Some(attribute) = instance.block.attributes.get(name) else {
            return Ok(None);
        };
        let scope = Scope {
            at: attribute.at,
            names: instance.names.clone(),
            outer: None,
        };
        let value = self.evaluate(&attribute.expr, &scope)?;
        let value = if value == Value::Null {
            Ok(None)
        } else {
            typed(name, value).map(Some)
        };
        value.map_err(|why| self.wrong(instance.block, attribute, name, &why))
    }

    fn wrong(&self, block: &Block, attribute: &Attribute, name: &str, why: &str) -> Fault {
        let why = format!("{name:?} of {:?}: {why}", block.label);
        self.definitions.fault(attribute.at, why)
    }
}

/// What the environment says, as the kind of the default.
fn given_value(text: &str, default: Option<&Value>) -> Result<Value, String> {
    match default {
        // Go's `strconv.ParseBool`.
        Some(Value::Bool(_)) => match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => Err("it is neither true nor false, as its default is".to_owned()),
        },
        Some(Value::Number(_)) => Ok(Value::Number(Value::Text(text.to_owned()).number()?)),
        Some(Value::List(_) | Value::Map(_)) => Err(format!(
            "its default is not a string, a number or a truth value; unset it, or {}",
            super::CURE
        )),
        _ => Ok(Value::Text(text.to_owned())),
    }
}
