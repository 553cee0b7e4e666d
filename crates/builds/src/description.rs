//! The images that a project builds, as compose and bake say of their files.

use std::collections::{BTreeMap, BTreeSet};

use larder_model::dockerfile::NamedContext;
use serde::Deserialize;

use crate::options::{Options, or_empty};

/// What is built if nothing is asked for.
pub(crate) const DEFAULT: &str = "default";

/// One image to build, as both tools write it: compose-go `types/types.go`, `BuildConfig`; buildx
/// `bake/bake.go`, `Target`. An empty text says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Described {
    /// The build's folder.
    #[serde(deserialize_with = "or_empty")]
    pub(crate) context: String,
    /// The Dockerfile, relative to the folder.
    #[serde(deserialize_with = "or_empty")]
    pub(crate) dockerfile: String,
    /// The Dockerfile's text.
    #[serde(alias = "dockerfile-inline", deserialize_with = "or_empty")]
    pub(crate) dockerfile_inline: String,
    /// The names that compose gives the image, where it builds one after the other.
    #[serde(deserialize_with = "or_empty")]
    pub(crate) tags: Vec<String>,
    #[serde(flatten)]
    pub(crate) options: Options,
}

/// All images of a project.
#[derive(Debug, Default)]
pub(crate) struct Description {
    /// The images, by service or target.
    pub(crate) builds: BTreeMap<String, Described>,
    /// Names that stand for others.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// Images that services run and nothing builds, with their platform.
    pub(crate) used: BTreeMap<String, (String, String)>,
}

impl Description {
    /// Whether a build or group is among them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.builds.contains_key(name) || self.groups.contains_key(name)
    }

    /// The builds that these names and groups stand for, and those that they name as contexts; without names the
    /// default ones, where the file says which those are, else all.
    pub(crate) fn wanted(&self, only: &[String]) -> Vec<String> {
        let mut wanted = Vec::new();
        let mut seen = BTreeMap::new();
        if only.is_empty() && self.groups.contains_key(DEFAULT) {
            self.select(DEFAULT, &mut seen, &mut wanted);
        } else if only.is_empty() {
            wanted.extend(self.builds.keys().cloned());
        }
        for name in only {
            self.select(name, &mut seen, &mut wanted);
        }
        let mut known = BTreeSet::new();
        wanted.retain(|name| known.insert(name.clone()));
        let mut at = 0;
        while at < wanted.len() {
            let one = self.builds.get(&wanted[at]).into_iter();
            let contexts = one.flat_map(|one| one.options.contexts.values());
            for name in contexts.filter_map(NamedContext::target) {
                if self.builds.contains_key(name) && known.insert(name.to_owned()) {
                    wanted.push(name.to_owned());
                }
            }
            at += 1;
        }
        wanted
    }

    /// Adds the builds of a group, or a build. A group within itself stands for the target of the
    /// same name (buildx `bake/bake.go`, `Config.group`). `seen` are the groups, and whether all of
    /// one's targets were added.
    fn select<'a>(
        &'a self,
        name: &'a str,
        seen: &mut BTreeMap<&'a str, bool>,
        wanted: &mut Vec<String>,
    ) {
        match (self.groups.get(name), seen.get(name)) {
            (Some(_), Some(true)) => {}
            (Some(members), None) => {
                seen.insert(name, false);
                for member in members {
                    self.select(member, seen, wanted);
                }
                seen.insert(name, true);
            }
            _ if self.builds.contains_key(name) => wanted.push(name.to_owned()),
            _ => {}
        }
    }
}
