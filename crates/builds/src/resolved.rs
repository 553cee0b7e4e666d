//! What `docker compose config --format json` or `docker buildx bake --print` wrote, kept in a file: it
//! is read as it is, also where neither tool is.
//!
//! Both forms are files of the tools again, and files that people write may look much the same. So
//! what still needs a tool is left to it: variables, inheritance, paths that are relative to the file.

use serde_json::{Map, Value};

use crate::bake;
use crate::compose::Project;
use crate::description::Description;
use crate::fault::Fault;
use crate::files::is_remote;
use crate::options::DEFAULT_PLATFORM;
use crate::request::Surroundings;
use crate::tool::{BAKE, COMPOSE, Tool};

/// A JSON file that describes builds.
pub(crate) enum Json {
    /// This tool wrote it.
    Answer(Tool, Description),
    /// It is still to be read by this tool.
    File(Tool),
}

impl Json {
    /// Reads it; nothing if it is no JSON object.
    pub(crate) fn read(text: &[u8], around: &Surroundings) -> Result<Option<Self>, Fault> {
        let Ok(document) = serde_json::from_slice::<Map<String, Value>>(text) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(text);
        Ok(Some(if document.contains_key("services") {
            let project = Project::parse(&text).ok();
            let usual = around.variable(DEFAULT_PLATFORM).map_or("", String::as_str);
            match project.filter(|_| is_of_compose(&document, &text)) {
                Some(project) => Self::Answer(COMPOSE, project.describe(usual)?),
                None => Self::File(COMPOSE),
            }
        } else {
            let description = bake::parse(&text).ok();
            let answer = description.filter(|_| is_of_bake(&document, &text));
            answer.map_or(Self::File(BAKE), |answer| Self::Answer(BAKE, answer))
        }))
    }
}

/// The entries of a map within a document.
fn within<'a>(document: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    let map = document.get(key).and_then(Value::as_object);
    map.into_iter().flat_map(Map::values)
}

/// Compose names the project, and every folder in full; there is no `$` that is not written twice.
fn is_of_compose(document: &Map<String, Value>, text: &str) -> bool {
    let mut builds = within(document, "services").filter_map(|service| service.get("build"));
    document.contains_key("name")
        && !document.contains_key("include")
        && builds.all(|build| {
            let context = build.get("context").and_then(Value::as_str);
            context.is_some_and(|context| context.starts_with('/') || is_remote(context))
        })
        && !text.replace("$$", "").contains('$')
}

/// Bake names the folder and the Dockerfile of every target; there is nothing but groups and targets,
/// and no template that bake would still evaluate.
fn is_of_bake(document: &Map<String, Value>, text: &str) -> bool {
    let plain = text.replace("$${", "").replace("%%{", "");
    let mut templates = plain.split("${").skip(1);
    let mut directives = plain.split("%{").skip(1);
    document
        .keys()
        .all(|key| ["group", "target"].contains(&key.as_str()))
        && within(document, "target").all(|target| {
            target.get("context").is_some()
                && (target.get("dockerfile").is_some() || target.get("dockerfile-inline").is_some())
                && target.get("inherits").is_none()
        })
        && templates.all(|rest| is_variable_of(rest, &["true", "false", "null", "target", "group"]))
        && directives.all(|rest| is_variable_of(rest, &["if", "else", "endif", "for", "endfor"]))
}

/// Whether what follows `${` or `%{` starts with the name of a variable. The file defines none, so that
/// bake would refuse it: it is a shell's, in the answer of a buildx before 0.23, which escapes nothing.
/// `meaningful` are words that bake would understand.
fn is_variable_of(rest: &str, meaningful: &[&str]) -> bool {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !name.starts_with("BAKE_")
        && !meaningful.contains(&name)
        && !rest.trim_start().starts_with(['(', '~'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is read as a tool's answer; nothing if it is no JSON.
    fn is_answer(text: &str) -> Option<bool> {
        let json = Json::read(text.as_bytes(), &Surroundings::default());
        Some(matches!(json.expect("no fault")?, Json::Answer(..)))
    }

    #[test]
    fn what_needs_a_tool_is_left_to_it() {
        for (text, answer) in [
            ("FROM a\n", None),
            ("[1]", None),
            (
                r#"{"name":"p","services":{"a":{"build":{"context":"/a"}},"b":{}}}"#,
                Some(true),
            ),
            (
                r#"{"name":"p","services":{"a":{"build":{"context":"a"}}}}"#,
                Some(false),
            ),
            (
                r#"{"services":{"a":{"build":{"context":"/a"}}}}"#,
                Some(false),
            ),
            (
                r#"{"name":"p","services":{"a":{"build":"/a"}}}"#,
                Some(false),
            ),
            (r#"{"name":"p","services":{},"x":"$$$$a"}"#, Some(true)),
            (r#"{"name":"p","services":{},"x":"$${a"}"#, Some(true)),
            (r#"{"name":"p","services":{},"x":"$a"}"#, Some(false)),
            (r#"{"name":"p","services":{},"include":[]}"#, Some(false)),
            (
                r#"{"target":{"a":{"context":".","dockerfile":"D"}}}"#,
                Some(true),
            ),
            (
                r#"{"target":{"a":{"context":".","dockerfile-inline":"RUN $${X}"}}}"#,
                Some(true),
            ),
            (
                r#"{"target":{"a":{"context":".","dockerfile-inline":"RUN ${X:-1} %{x}"}}}"#,
                Some(true),
            ),
            (
                r#"{"target":{"a":{"context":"${upper(`a`)}","dockerfile":"D"}}}"#,
                Some(false),
            ),
            (
                r#"{"target":{"a":{"context":"${BAKE_CMD_CONTEXT}","dockerfile":"D"}}}"#,
                Some(false),
            ),
            (
                r#"{"target":{"a":{"context":"%{ if true }","dockerfile":"D"}}}"#,
                Some(false),
            ),
            (r#"{"target":{"a":{"context":"."}}}"#, Some(false)),
            (
                r#"{"target":{"a":{"context":".","dockerfile":"D"}},"variable":{}}"#,
                Some(false),
            ),
        ] {
            assert_eq!(is_answer(text), answer, "{text}");
        }
    }
}
