//! Bake files as they are written, in HCL and in JSON, and where in them everything stands.
//!
//! Several files are one definition (buildx `bake/hclparser/merged.go`): their blocks follow each
//! other. JSON is read by HCL's rules for it (hcl `json/spec.md`): texts are templates, and a block
//! may be an object or a list of objects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hcl_edit::expr::{Array, Expression, Object, ObjectKey, ObjectValue};
use hcl_edit::structure::{Block as HclBlock, Body, Structure};
use hcl_edit::template::StringTemplate;
use hcl_edit::{Formatted, Number, Span as _};
use serde_json::{Map, Value as Json};

use super::super::fault::Fault;

/// A bake file.
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// A place: the number of the file and the byte in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub file: usize,
    pub offset: usize,
}

/// An attribute: where its name stands, and its expression.
#[derive(Debug)]
pub struct Attribute {
    pub at: At,
    pub expr: Expression,
}

/// The attributes of a block, and where it starts.
#[derive(Debug)]
pub struct Block {
    pub is_target: bool,
    pub label: String,
    pub at: At,
    pub attributes: BTreeMap<String, Attribute>,
}

/// All that the files define.
#[derive(Default)]
pub struct Definitions {
    pub sources: Vec<Source>,
    pub attributes: BTreeMap<String, Attribute>,
    pub variables: BTreeMap<String, Block>,
    pub functions: BTreeMap<String, Block>,
    /// Groups and targets, in the order of the files.
    pub blocks: Vec<Block>,
}

impl Definitions {
    /// Reads the files.
    pub fn read(sources: Vec<Source>) -> Result<Self, Fault> {
        let mut all = Self::default();
        for mut source in sources {
            // As for HCL (`hclsyntax/scan_tokens.rl`, `stripUTF8BOM`).
            let mark = '\u{feff}';
            if source.text.starts_with(mark) {
                source.text.drain(..mark.len_utf8());
            }
            let is_json = source.path.extension().is_some_and(|kind| kind == "json");
            all.sources.push(source);
            if is_json { all.json() } else { all.hcl() }?;
        }
        Ok(all)
    }

    /// A fault at a place.
    pub fn fault(&self, at: At, why: impl Into<String>) -> Fault {
        let Source { path, text } = &self.sources[at.file];
        let before = text.get(..at.offset).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Fault::file(path, why).at(line, 1 + before[start..].chars().count())
    }

    /// Whether the files' expressions know where they stand: JSON's do not, as they are texts.
    pub fn has_places(&self, file: usize) -> bool {
        !is_json(&self.sources[file].path)
    }

    fn hcl(&mut self) -> Result<(), Fault> {
        let file = self.sources.len() - 1;
        let Source { path, text } = &self.sources[file];
        let body = hcl_edit::parser::parse_body(text).map_err(|error| {
            let place = error.location();
            Fault::file(path, error.message()).at(place.line(), place.column())
        })?;
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let offset = attribute.key.span().map_or(0, |span| span.start);
                    let name = attribute.key.to_string();
                    let expr = attribute.value;
                    let at = At { file, offset };
                    self.attribute(name, Attribute { at, expr });
                }
                Structure::Block(block) => self.hcl_block(file, block)?,
            }
        }
        Ok(())
    }

    fn hcl_block(&mut self, file: usize, block: HclBlock) -> Result<(), Fault> {
        let kind = block.ident.to_string();
        // buildx leaves out blocks that it does not know (its pull request 541).
        if !["variable", "function", "group", "target"].contains(&kind.as_str()) {
            return Ok(());
        }
        let offset = block.ident.span().map_or(0, |span| span.start);
        let at = At { file, offset };
        let [label] = block.labels.as_slice() else {
            let why = format!("`{kind}` takes one name, as in `{kind} \"name\" {{ … }}`");
            return Err(self.fault(at, why));
        };
        let label = label.as_str().to_owned();
        let attributes = self.hcl_attributes(file, &kind, block.body)?;
        self.block(&kind, label, at, attributes);
        Ok(())
    }

    fn hcl_attributes(
        &self,
        file: usize,
        kind: &str,
        body: Body,
    ) -> Result<BTreeMap<String, Attribute>, Fault> {
        let mut attributes = BTreeMap::new();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let offset = attribute.key.span().map_or(0, |span| span.start);
                    let at = At { file, offset };
                    let expr = attribute.value;
                    attributes.insert(attribute.key.to_string(), Attribute { at, expr });
                }
                // Conditions that the builder checks; they change no build.
                Structure::Block(block) if kind == "variable" && block.has_ident("validation") => {}
                Structure::Block(block) => {
                    let offset = block.ident.span().map_or(0, |span| span.start);
                    let name = block.ident.to_string();
                    let why = format!(
                        "there is no block `{name}` in a `{kind}`; if it is a map, write `{name} = {{ … }}`"
                    );
                    return Err(self.fault(At { file, offset }, why));
                }
            }
        }
        Ok(attributes)
    }

    fn json(&mut self) -> Result<(), Fault> {
        let file = self.sources.len() - 1;
        let Source { path, text } = &self.sources[file];
        let document: Json = serde_json::from_str(text).map_err(|error| {
            Fault::file(path, error.to_string()).at(error.line(), error.column())
        })?;
        let Json::Object(document) = document else {
            return Err(Fault::file(path, "it is not an object; is it a bake file?"));
        };
        for (kind, value) in &document {
            match kind.as_str() {
                "variable" | "function" | "group" | "target" => {
                    let found = labelled(value);
                    let found = found.ok_or_else(|| {
                        let at = self.find(file, 0, kind);
                        self.fault(at, format!("`{kind}` is not an object of objects"))
                    })?;
                    for (label, body) in found {
                        self.json_block(file, kind, label, body)?;
                    }
                }
                "//" => {}
                _ => {
                    let at = self.find(file, 0, kind);
                    let expr = self.expression(at, value)?;
                    self.attribute(kind.clone(), Attribute { at, expr });
                }
            }
        }
        Ok(())
    }

    fn json_block(
        &mut self,
        file: usize,
        kind: &str,
        label: &str,
        body: &Map<String, Json>,
    ) -> Result<(), Fault> {
        let start = self.find(file, 0, kind).offset;
        let at = self.find(file, start, label);
        let mut attributes = BTreeMap::new();
        for (name, value) in body {
            if name == "//" || (kind == "variable" && name == "validation") {
                continue;
            }
            let at = self.find(file, at.offset, name);
            let expr = self.expression(at, value)?;
            attributes.insert(name.clone(), Attribute { at, expr });
        }
        self.block(kind, label.to_owned(), at, attributes);
        Ok(())
    }

    /// Where a name is first written after a place; good enough to show people the line.
    fn find(&self, file: usize, after: usize, name: &str) -> At {
        let rest = self.sources[file].text.get(after..).unwrap_or_default();
        let found = rest.find(&format!("{name:?}"));
        At {
            file,
            offset: after + found.unwrap_or(0),
        }
    }

    fn attribute(&mut self, name: String, attribute: Attribute) {
        self.attributes.insert(name, attribute);
    }

    fn block(
        &mut self,
        kind: &str,
        label: String,
        at: At,
        attributes: BTreeMap<String, Attribute>,
    ) {
        let block = Block {
            is_target: kind == "target",
            label,
            at,
            attributes,
        };
        match kind {
            "variable" => drop(self.variables.insert(block.label.clone(), block)),
            "function" => drop(self.functions.insert(block.label.clone(), block)),
            _ => self.blocks.push(block),
        }
    }

    fn expression(&self, at: At, value: &Json) -> Result<Expression, Fault> {
        Ok(match value {
            Json::Null => Expression::null(),
            Json::Bool(truth) => Expression::from(*truth),
            Json::Number(number) => {
                let number = number.as_f64().and_then(Number::from_f64);
                let number = number.ok_or_else(|| self.fault(at, "a number is too large"))?;
                Expression::Number(Formatted::new(number))
            }
            Json::String(text) => self.template(at, text)?,
            Json::Array(values) => {
                let values = values.iter().map(|value| self.expression(at, value));
                let values: Vec<_> = values.collect::<Result<_, _>>()?;
                Expression::Array(values.into_iter().collect::<Array>())
            }
            Json::Object(values) => {
                let mut object = Object::new();
                for (key, value) in values {
                    let key = ObjectKey::Expression(self.template(at, key)?);
                    object.insert(key, ObjectValue::new(self.expression(at, value)?));
                }
                Expression::Object(object)
            }
        })
    }

    fn template(&self, at: At, text: &str) -> Result<Expression, Fault> {
        if !text.contains("${") && !text.contains("%{") {
            return Ok(Expression::from(text));
        }
        let template = hcl_edit::parser::parse_template(text);
        let template =
            template.map_err(|error| self.fault(at, format!("{text:?}: {}", error.message())))?;
        let elements = template.into_iter().collect::<StringTemplate>();
        Ok(Expression::StringTemplate(elements))
    }
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "json")
}

/// The bodies of the blocks of one kind, with their labels.
fn labelled(value: &Json) -> Option<Vec<(&str, &Map<String, Json>)>> {
    let mut found = Vec::new();
    for object in several(value)? {
        for (label, bodies) in object {
            for body in several(bodies)? {
                found.push((label.as_str(), body));
            }
        }
    }
    Some(found)
}

/// One object, or a list of them.
fn several(value: &Json) -> Option<Vec<&Map<String, Json>>> {
    match value {
        Json::Object(object) => Some(vec![object]),
        Json::Array(values) => values.iter().map(Json::as_object).collect(),
        _ => None,
    }
}
