//! What `docker compose config --format json` or `docker buildx bake --print` wrote, kept in a file: it
//! is read as it is, also where neither tool is.
//!
//! Both forms are files of the tools again, and files that people write may look much the same. So
//! what still needs a tool is left to it: variables, inheritance, paths that are relative to the file.

use serde_json::{Map, Value};

use crate::bake::Print;
use crate::compose::Project;
use crate::describe::Description;
use crate::fault::Fault;
use crate::files::is_remote;
use crate::options::DEFAULT_PLATFORM;
use crate::request::{Build, Surroundings};

/// A JSON file that describes builds.
pub(crate) enum Json {
    /// A compose file; what compose wrote, if it is that.
    Compose(Option<Project>),
    /// A bake file; what bake wrote, if it is that.
    Bake(Option<Print>),
}

impl Json {
    /// Reads it; nothing if it is no JSON object.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let document: Map<String, Value> = serde_json::from_str(text).ok()?;
        Some(if document.contains_key("services") {
            let is_resolved = is_of_compose(&document, text);
            Self::Compose(Project::parse(text).ok().filter(|_| is_resolved))
        } else {
            let is_resolved = is_of_bake(&document, text);
            Self::Bake(Print::parse(text).ok().filter(|_| is_resolved))
        })
    }

    /// What is built, if a tool wrote it. The options of that tool come too late then.
    pub(crate) fn describe(
        self,
        build: &Build,
        around: &Surroundings,
    ) -> Option<Result<Description, Fault>> {
        let (has, description): (Vec<bool>, _) = match self {
            Self::Compose(None) | Self::Bake(None) => return None,
            Self::Compose(Some(project)) => {
                let has = build.only.iter().map(|name| project.has(name));
                let usual = around.environment.get(DEFAULT_PLATFORM).map(String::as_str);
                (has.collect(), project.describe(&build.only, usual, around))
            }
            Self::Bake(Some(print)) => {
                let has = build.only.iter().map(|name| print.has(name));
                (has.collect(), Ok(print.describe(&build.only)))
            }
        };
        let late = [
            ("--profile", build.profiles.is_empty()),
            ("--env-file", build.env_files.is_empty()),
            ("--set", build.overrides.is_empty()),
        ];
        if let Some((option, _)) = late.into_iter().find(|(_, is_empty)| !is_empty) {
            return Some(Err(Fault::option(format!(
                "{option}: the file is what a tool made of others, and takes no options any more; \
                 give them to the tool"
            ))));
        }
        let missing = build.only.iter().zip(has).find(|(_, has)| !has);
        Some(match missing {
            Some((name, _)) => Err(Fault::option(format!(
                "--only {name:?}: there is no such name"
            ))),
            None => description,
        })
    }
}

/// Compose names the project, and every folder in full; there is no `$` that is not written twice.
fn is_of_compose(document: &Map<String, Value>, text: &str) -> bool {
    let services = document.get("services").and_then(Value::as_object);
    let mut builds = services
        .into_iter()
        .flat_map(Map::values)
        .filter_map(|service| service.get("build"));
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
    let mut targets = document
        .get("target")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values);
    let plain = text.replace("$${", "").replace("%%{", "");
    let mut templates = plain.split("${").skip(1);
    let mut directives = plain.split("%{").skip(1);
    document
        .keys()
        .all(|key| ["group", "target"].contains(&key.as_str()))
        && targets.all(|target| {
            let has = |key: &str| target.get(key).is_some();
            has("context") && (has("dockerfile") || has("dockerfile-inline")) && !has("inherits")
        })
        && templates.all(|rest| is_variable_of(rest, &["true", "false", "null", "target", "group"]))
        && directives.all(|rest| is_variable_of(rest, &["if", "else", "endif", "for", "endfor"]))
}

/// Whether what follows `${` or `%{` starts with the name of a variable. The file defines none, so that
/// bake would refuse it: it is a shell's, in the answer of a buildx before 0.23, which escapes nothing.
/// `meaningful` are words that bake would understand.
fn is_variable_of(rest: &str, meaningful: &[&str]) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
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
        Some(match Json::read(text.as_bytes())? {
            Json::Compose(project) => project.is_some(),
            Json::Bake(print) => print.is_some(),
        })
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
