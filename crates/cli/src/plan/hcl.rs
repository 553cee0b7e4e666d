//! Bake files in HCL, and the templates in those in JSON: as plain values.
//!
//! Follows buildx `bake/hclparser`: variables take the environment's value, else their default;
//! top-level attributes are variables too. Functions and `matrix` are left to
//! `docker buildx bake --print`, whose output is a bake file in JSON.

use std::path::Path;

use hcl::eval::{Context, Evaluate as _};
use hcl::structure::Body;
use serde_json::Value;

use super::fault::Fault;
use crate::settings::Environment;

const CURE: &str =
    "write the output of `docker buildx bake --print` to docker-bake.json and name that with -f";

/// A bake file in HCL as the JSON form of it.
pub fn document(file: &Path, text: &str, environment: &Environment) -> Result<Value, Fault> {
    let body = hcl::parse(text).map_err(|error| match &error {
        hcl::Error::Parse(parse) => {
            let place = parse.location();
            Fault::file(file, parse.message()).at(place.line(), place.column())
        }
        _ => Fault::file(file, error.to_string()),
    })?;
    let refuse = |what: &str, why: &dyn std::fmt::Display| {
        Fault::file(file, format!("{what}: {why}; {CURE}"))
    };
    let mut context = Context::new();
    for attribute in body.attributes() {
        let value = attribute.expr().evaluate(&context);
        let value = value.map_err(|error| refuse(attribute.key(), &error))?;
        context.declare_var(attribute.key(), value);
    }
    for block in body
        .blocks()
        .filter(|block| block.identifier() == "variable")
    {
        let name = block.labels().first().map_or("", |label| label.as_str());
        let mut defaults = block.body().attributes();
        let default = defaults.find(|attribute| attribute.key() == "default");
        let default = default.map(|attribute| attribute.expr().evaluate(&context));
        let default = default.transpose().map_err(|error| refuse(name, &error))?;
        context.declare_var(name, given(environment.get(name), default));
    }
    let wanted = ["group", "target"];
    let blocks = body.into_blocks();
    let blocks = blocks.filter(|block| wanted.contains(&block.identifier()));
    let mut blocks: Vec<_> = blocks.collect();
    if let Some(block) = blocks.iter().find(|block| {
        let mut attributes = block.body().attributes();
        attributes.any(|attribute| attribute.key() == "matrix")
    }) {
        let label = block.labels().first().map_or("", |label| label.as_str());
        return Err(refuse(label, &"`matrix` makes several targets of one"));
    }
    for block in &mut blocks {
        let label = block
            .labels()
            .first()
            .map_or("", |label| label.as_str())
            .to_owned();
        *block = block
            .evaluate(&context)
            .map_err(|error| refuse(&label, &error))?;
    }
    let body = Body::builder().add_blocks(blocks).build();
    hcl::from_body(body).map_err(|error| refuse("its targets", &error))
}

/// Evaluates the templates in every text of a bake file in JSON.
pub fn templates(
    file: &Path,
    document: &mut Value,
    environment: &Environment,
) -> Result<(), Fault> {
    let mut context = Context::new();
    for (name, variable) in document
        .get("variable")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let default = variable
            .get("default")
            .and_then(|value| serde_json::from_value(value.clone()).ok());
        context.declare_var(name.as_str(), given(environment.get(name), default));
    }
    for part in ["group", "target"] {
        if let Some(value) = document.get_mut(part) {
            evaluate(value, &context).map_err(|why| Fault::file(file, format!("{why}; {CURE}")))?;
        }
    }
    Ok(())
}

fn evaluate(value: &mut Value, context: &Context) -> Result<(), String> {
    match value {
        Value::String(text) if text.contains("${") || text.contains("%{") => {
            let expression = hcl::expr::TemplateExpr::from(text.as_str());
            let evaluated = expression.evaluate(context);
            let evaluated = evaluated.map_err(|error| format!("{text:?}: {error}"))?;
            *value = serde_json::to_value(evaluated).map_err(|error| error.to_string())?;
        }
        Value::Array(values) => {
            return values
                .iter_mut()
                .try_for_each(|value| evaluate(value, context));
        }
        Value::Object(values) => {
            return values
                .values_mut()
                .try_for_each(|value| evaluate(value, context));
        }
        _ => {}
    }
    Ok(())
}

/// A variable's value: the environment's, as the type of the default.
fn given(environment: Option<&String>, default: Option<hcl::Value>) -> hcl::Value {
    match (environment, default) {
        (Some(text), Some(hcl::Value::Bool(_))) if text.parse::<bool>().is_ok() => {
            hcl::Value::Bool(text == "true")
        }
        (Some(text), Some(hcl::Value::Number(_))) => match text.parse::<i64>() {
            Ok(number) => hcl::Value::Number(number.into()),
            Err(_) => hcl::Value::String(text.clone()),
        },
        (Some(text), _) => hcl::Value::String(text.clone()),
        (None, default) => default.unwrap_or_else(|| hcl::Value::String(String::new())),
    }
}
