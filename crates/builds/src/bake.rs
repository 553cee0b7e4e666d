//! What `docker buildx bake --print` says is built.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::describe::{Described, Description, or_empty};

/// What is built if nothing is asked for.
const DEFAULT: &str = "default";

/// Its answer, as far as it matters here: buildx `bake/bake.go`, `Group`, `Target`.
#[derive(Debug, Deserialize)]
pub(crate) struct Print {
    #[serde(default, deserialize_with = "or_empty")]
    group: BTreeMap<String, Group>,
    #[serde(default, deserialize_with = "or_empty")]
    target: BTreeMap<String, Printed>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default, deserialize_with = "or_empty")]
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Printed {
    context: Option<String>,
    dockerfile: Option<String>,
    dockerfile_inline: Option<String>,
    target: Option<String>,
    #[serde(default, deserialize_with = "or_empty")]
    args: BTreeMap<String, Option<String>>,
    #[serde(default, deserialize_with = "or_empty")]
    contexts: BTreeMap<String, Option<String>>,
    #[serde(default, deserialize_with = "or_empty")]
    platforms: Vec<String>,
}

impl Print {
    /// Reads the answer. What looks like a template is escaped in it, because it is a bake file again
    /// (buildx `bake/bake.go`, `Target.MarshalJSON`).
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&text.replace("$${", "${").replace("%%{", "%{"))
    }

    /// Whether a target or group is among them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.target.contains_key(name) || self.group.contains_key(name)
    }

    /// The images that are built: of these targets and groups, or of all, as the answer has only what
    /// was asked for. The default ones come first.
    pub(crate) fn describe(self, only: &[String]) -> Description {
        let mut wanted = Vec::new();
        let mut seen = BTreeMap::new();
        if only.is_empty() {
            self.select(DEFAULT, &mut seen, &mut wanted);
            let all = self.target.keys();
            all.for_each(|name| add(name, &mut wanted));
        } else {
            for name in only {
                self.select(name, &mut seen, &mut wanted);
            }
        }
        let targets = self.target.into_iter();
        Description {
            builds: targets.map(|(name, one)| one.described(name)).collect(),
            wanted,
        }
    }

    /// Adds the targets of a group, or a target. A group within itself stands for the target of the
    /// same name (buildx `bake/bake.go`, `Config.group`). `seen` are the groups, and whether all of
    /// one's targets were added.
    fn select<'a>(
        &'a self,
        name: &'a str,
        seen: &mut BTreeMap<&'a str, bool>,
        wanted: &mut Vec<String>,
    ) {
        match (self.group.get(name), seen.get(name)) {
            (Some(_), Some(true)) => {}
            (Some(group), None) => {
                seen.insert(name, false);
                for member in &group.targets {
                    self.select(member, seen, wanted);
                }
                seen.insert(name, true);
            }
            _ if self.target.contains_key(name) => add(name, wanted),
            _ => {}
        }
    }
}

fn add(name: &str, wanted: &mut Vec<String>) {
    if !wanted.iter().any(|known| known == name) {
        wanted.push(name.to_owned());
    }
}

impl Printed {
    /// An empty text says nothing, and neither does a null.
    fn described(self, name: String) -> Described {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let contexts = self.contexts.into_iter();
        Described {
            name,
            context: said(self.context).unwrap_or_else(|| ".".to_owned()),
            dockerfile: said(self.dockerfile),
            inline: self.dockerfile_inline,
            target: said(self.target),
            args: self
                .args
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            platforms: self.platforms,
            contexts: contexts
                .filter_map(|(name, value)| {
                    let value = said(value)?;
                    // Older versions hand on what compose files say.
                    let service = value.strip_prefix("service:");
                    let value = service.map_or(value.clone(), |it| format!("target:{it}"));
                    Some((name, value))
                })
                .collect(),
            // Targets are built side by side, so that a tag of one is no base of another; `contexts`
            // are there for that.
            images: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(text: &str, only: &[&str]) -> Description {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        Print::parse(text).expect("bake's JSON").describe(&only)
    }

    #[test]
    fn groups_stand_for_their_targets() {
        let text = r#"{"group":{"default":{"targets":["b","all"]},"all":{"targets":["a","all","loop"]},"none":{"targets":null},
            "loop":{"targets":["all"]}},
            "target":{"a":{},"all":{},"b":{},"linked":{}}}"#;
        assert_eq!(describe(text, &[]).wanted, ["b", "a", "all", "linked"]);
        assert_eq!(describe(text, &["linked"]).wanted, ["linked"]);
        let text = r#"{"target":{"default":{},"base":{}}}"#;
        assert_eq!(describe(text, &[]).wanted, ["default", "base"]);
    }

    #[test]
    fn a_target_is_read_as_it_was_before_it_was_printed() {
        let text = r#"{"target":{"a":{"context":"","dockerfile":"","args":{"A":null,"B":"$${X} %%{y"},
            "dockerfile-inline":"FROM $${B}","contexts":{"x":"","s":"service:b"},"platforms":["local"],
            "output":[{"type":"docker"}]}}}"#;
        let description = describe(text, &[]);
        let one = &description.builds[0];
        assert_eq!((one.context.as_str(), &one.dockerfile), (".", &None));
        assert_eq!(one.args, [("B".into(), "${X} %{y".into())].into());
        assert_eq!(one.inline.as_deref(), Some("FROM ${B}"));
        assert_eq!(one.contexts, [("s".into(), "target:b".into())].into());
    }
}
