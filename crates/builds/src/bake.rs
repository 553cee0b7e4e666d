//! What `docker buildx bake --print` says is built.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::description::{DEFAULT, Described, Description};
use crate::options::or_empty;

/// Its answer, as far as it matters here: buildx `bake/bake.go`, `Group`, `Target`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Print {
    #[serde(deserialize_with = "or_empty")]
    group: BTreeMap<String, Group>,
    #[serde(deserialize_with = "or_empty")]
    target: BTreeMap<String, Described>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default, deserialize_with = "or_empty")]
    targets: Vec<String>,
}

/// Reads the answer. What looks like a template is escaped in it, because it is a bake file again
/// (buildx `bake/bake.go`, `Target.MarshalJSON`).
pub(crate) fn parse(text: &str) -> Result<Description, serde_json::Error> {
    let print: Print = serde_json::from_str(&text.replace("$${", "${").replace("%%{", "%{"))?;
    let mut builds = print.target;
    for one in builds.values_mut() {
        one.options.args.retain(|_, value| value.is_some());
        // Targets are built side by side, so that a tag of one is no base of another; contexts are
        // there for that.
        one.tags.clear();
    }
    let groups = print.group.into_iter();
    let mut groups: BTreeMap<_, _> = groups.map(|(name, group)| (name, group.targets)).collect();
    if builds.contains_key(DEFAULT) {
        groups.entry(DEFAULT.into()).or_insert(vec![DEFAULT.into()]);
    }
    Ok(Description {
        builds,
        groups,
        ..Description::default()
    })
}

#[cfg(test)]
mod tests {
    use larder_model::dockerfile::NamedContext;

    use super::*;

    fn wanted(text: &str, only: &[&str]) -> Vec<String> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        parse(text).expect("bake's JSON").wanted(&only)
    }

    #[test]
    fn groups_stand_for_their_targets() {
        let text = r#"{"group":{"default":{"targets":["b","all"]},"all":{"targets":["a","all","loop"]},"none":{"targets":null},
            "loop":{"targets":["all"]}},
            "target":{"a":{},"all":{},"b":{},"linked":{}}}"#;
        assert_eq!(wanted(text, &[]), ["b", "a", "all"]);
        assert_eq!(wanted(text, &["linked"]), ["linked"]);
        let text = r#"{"target":{"default":{},"base":{}}}"#;
        assert_eq!(wanted(text, &[]), ["default"]);
        let text = r#"{"target":{"other":{},"base":{}}}"#;
        assert_eq!(wanted(text, &[]), ["base", "other"]);
    }

    #[test]
    fn a_target_is_read_as_it_was_before_it_was_printed() {
        let text = r#"{"target":{"a":{"context":"","dockerfile":"","args":{"A":null,"B":"$${X} %%{y"},
            "dockerfile-inline":"FROM $${B}","contexts":{"x":"","s":"service:b"},"platforms":["local"],
            "output":[{"type":"docker"}]}}}"#;
        let description = parse(text).expect("bake's JSON");
        let one = &description.builds["a"];
        assert_eq!((one.context.as_str(), one.dockerfile.as_str()), ("", ""));
        let args = [("B".into(), Some("${X} %{y".into()))];
        assert_eq!(one.options.args, args.into());
        assert_eq!(one.dockerfile_inline, "FROM ${B}");
        let contexts = [("s".into(), NamedContext::Target("b".into()))];
        assert_eq!(one.options.contexts, contexts.into());
    }
}
