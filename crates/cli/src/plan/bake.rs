//! Bake files: targets, groups and what targets inherit.
//!
//! Follows buildx `bake/bake.go` (`ResolveGroup`, `Target.Merge`): a target starts as what it
//! inherits, later parents winning; its own values win over them, maps are merged by key.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use super::fault::Fault;
use super::hcl as language;
use super::input::Described;
use crate::settings::Environment;

/// Targets that a bake file may build.
const TARGETS_MAX: usize = 1_000;

/// The images that `docker buildx bake` builds by default, of a file in JSON.
pub fn json(file: &Path, text: &str, environment: &Environment) -> Result<Vec<Described>, Fault> {
    let mut document: Value = serde_json::from_str(text)
        .map_err(|error| Fault::file(file, error.to_string()).at(error.line(), error.column()))?;
    language::templates(file, &mut document, environment)?;
    builds(file, &document)
}

/// The same of a file in HCL.
pub fn hcl(file: &Path, text: &str, environment: &Environment) -> Result<Vec<Described>, Fault> {
    builds(file, &language::document(file, text, environment)?)
}

fn builds(file: &Path, document: &Value) -> Result<Vec<Described>, Fault> {
    let object = |name: &str| document.get(name).and_then(Value::as_object);
    let empty = Map::new();
    let bake = Bake {
        file,
        targets: object("target").unwrap_or(&empty),
        groups: object("group").unwrap_or(&empty),
    };
    if bake.targets.is_empty() {
        return Err(Fault::file(
            file,
            "it has no `target`; is it a bake file? Name a Dockerfile with -f",
        ));
    }
    let mut names = Vec::new();
    if bake.groups.contains_key("default") || bake.targets.contains_key("default") {
        bake.select("default", &mut names, &mut BTreeSet::new())?;
    } else {
        names.extend(bake.targets.keys().cloned());
    }
    let mut builds = Vec::new();
    let mut next = 0;
    while let Some(name) = names.get(next).cloned() {
        let one = bake.describe(&name)?;
        // What a target takes files from is built too.
        for used in one
            .contexts
            .values()
            .filter_map(|value| value.strip_prefix("target:"))
        {
            if !names.iter().any(|known| known == used) && names.len() < TARGETS_MAX {
                names.push(used.to_owned());
            }
        }
        builds.push(one);
        next += 1;
    }
    Ok(builds)
}

struct Bake<'a> {
    file: &'a Path,
    targets: &'a Map<String, Value>,
    groups: &'a Map<String, Value>,
}

impl Bake<'_> {
    fn fault(&self, text: String) -> Fault {
        Fault::file(self.file, text)
    }

    /// Adds the targets of a group, or a target.
    fn select(
        &self,
        name: &str,
        names: &mut Vec<String>,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), Fault> {
        let Some(group) = self
            .groups
            .get(name)
            .filter(|_| seen.insert(name.to_owned()))
        else {
            if self.targets.contains_key(name) {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
                return Ok(());
            }
            let known = self.groups.contains_key(name);
            return if known {
                Ok(())
            } else {
                Err(self.fault(format!("there is no target {name:?}")))
            };
        };
        for member in texts(group.get("targets")) {
            self.select(&member, names, seen)?;
        }
        Ok(())
    }

    /// A target with what it inherits.
    fn resolve(&self, name: &str, path: &mut Vec<String>) -> Result<Map<String, Value>, Fault> {
        let target = self.targets.get(name).and_then(Value::as_object);
        let target = target.ok_or_else(|| self.fault(format!("there is no target {name:?}")))?;
        if path.iter().any(|above| above == name) {
            return Err(self.fault(format!("target {name:?} inherits itself")));
        }
        path.push(name.to_owned());
        let mut merged = Map::new();
        for parent in texts(target.get("inherits")) {
            merge(&mut merged, &self.resolve(&parent, path)?);
        }
        path.pop();
        merge(&mut merged, target);
        Ok(merged)
    }

    fn describe(&self, name: &str) -> Result<Described, Fault> {
        let target = self.resolve(name, &mut Vec::new())?;
        let get = |key: &str| target.get(key).and_then(text);
        let map = |key: &str| {
            let map = target.get(key).and_then(Value::as_object);
            let pairs = map.into_iter().flatten();
            pairs.filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        };
        if target.contains_key("matrix") {
            return Err(self.fault(format!(
                "target {name:?}: `matrix` makes several targets of one; write the output of \
                 `docker buildx bake --print` to docker-bake.json and name that with -f"
            )));
        }
        Ok(Described {
            name: name.to_owned(),
            context: get("context").unwrap_or_else(|| ".".to_owned()),
            dockerfile: get("dockerfile"),
            inline: get("dockerfile-inline"),
            target: get("target"),
            args: map("args").collect(),
            platforms: texts(target.get("platforms")),
            contexts: map("contexts").collect(),
        })
    }
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(known)), Value::Object(new)) => known.extend(new.clone()),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let values = value.and_then(Value::as_array).into_iter().flatten();
    values.filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HCL: &str = r#"
variable "TAG" { default = "3.3" }
variable "SLIM" { default = true }
registry = "r.example"
group "default" { targets = ["app", "tools"] }
group "tools" { targets = ["lint"] }
target "base" {
  args = { RUBY = TAG, A = "1" }
  platforms = ["linux/amd64"]
}
target "app" {
  inherits = ["base"]
  dockerfile = "Dockerfile.app"
  args = { A = "${registry}/2", S = SLIM ? "-slim" : "" }
  contexts = { gems = "target:gems" }
}
target "lint" { target = "lint" }
target "gems" { context = "gems" }
target "unused" { context = "x" }
"#;

    fn check(builds: &[Described]) {
        let names: Vec<_> = builds.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["app", "lint", "gems"]);
        let app = &builds[0];
        let args: Vec<_> = app.args.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(args, ["A=r.example/2", "RUBY=3.4", "S=-slim"]);
        assert_eq!(app.dockerfile.as_deref(), Some("Dockerfile.app"));
        assert_eq!(app.platforms, ["linux/amd64"]);
    }

    #[test]
    fn both_languages_say_the_same() {
        let environment = [("TAG".to_owned(), "3.4".to_owned())].into();
        check(&hcl(Path::new("docker-bake.hcl"), HCL, &environment).expect("a bake file"));
        let text = r#"{"variable":{"TAG":{"default":"3.3"}},
            "group":{"default":{"targets":["app","tools"]},"tools":{"targets":["lint"]}},
            "target":{"base":{"args":{"RUBY":"${TAG}","A":"1"},"platforms":["linux/amd64"]},
            "app":{"inherits":["base"],"dockerfile":"Dockerfile.app",
            "args":{"A":"r.example/2","S":"-slim"},"contexts":{"gems":"target:gems"}},
            "lint":{"target":"lint"},"gems":{"context":"gems"},"unused":{}}}"#;
        check(&json(Path::new("docker-bake.json"), text, &environment).expect("a bake file"));
    }

    #[test]
    fn faults_name_place_and_cure() {
        let none = Environment::new();
        let read = |text: &str| hcl(Path::new("docker-bake.hcl"), text, &none).expect_err(text);
        assert_eq!(read("target \"a\" {\n  x = = 1\n}\n").line, Some(2));
        for (text, word) in [
            ("target \"a\" { tags = [sha256(\"x\")] }", "bake --print"),
            ("target \"a\" { matrix = { x = [\"1\"] } }", "bake --print"),
            ("target \"a\" { inherits = [\"a\"] }", "inherits itself"),
            (
                "group \"default\" { targets = [\"b\"] }\ntarget \"a\" {}",
                "\"b\"",
            ),
            ("x = 1", "target"),
        ] {
            let fault = read(text);
            assert!(fault.to_string().contains(word), "{fault}");
        }
    }
}
