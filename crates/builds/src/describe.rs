//! Images to build, as compose and bake say of their files, and their drafts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use larder_model::dockerfile::{ImageConfigs, NamedContext};
use larder_model::reference::ImageReference;
use serde::{Deserialize, Deserializer};

use crate::draft::Draft;
use crate::fault::Fault;
use crate::files::{self, DOCKERFILES, is_remote};
use crate::options::Options;
use crate::request::Surroundings;

/// A folder of whoever called the tool (buildx `bake/bake.go`, `toBuildOpt`).
const CALLER: &str = "cwd://";

/// One image to build.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    /// The service or target.
    pub(crate) name: String,
    /// The build's folder.
    pub(crate) context: String,
    /// The Dockerfile, relative to the folder.
    pub(crate) dockerfile: Option<String>,
    /// The Dockerfile's text.
    pub(crate) inline: Option<String>,
    /// `--target`
    pub(crate) target: Option<String>,
    /// `--build-arg`
    pub(crate) args: BTreeMap<String, String>,
    /// `--platform`
    pub(crate) platforms: Vec<String>,
    /// `--build-context`
    pub(crate) contexts: BTreeMap<String, String>,
    /// The names that compose gives the image, where it builds one after the other.
    pub(crate) images: Vec<String>,
}

/// All images of a project.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) builds: Vec<Described>,
    /// Those that are built unless others are asked for; the rest is built where they need it.
    pub(crate) wanted: Vec<String>,
}

/// Reads a value that Go may write as null: an empty list or map that was never made.
pub(crate) fn or_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Makes drafts of what a tool said.
pub(crate) struct Drafter<'a> {
    pub(crate) around: &'a Surroundings,
    /// The options that were typed.
    pub(crate) options: &'a Options,
    /// The folder that relative paths are relative to.
    pub(crate) folder: &'a Path,
    /// The file that is named where the text of a Dockerfile stands in it.
    pub(crate) shown: &'a str,
}

impl Drafter<'_> {
    /// The drafts of the wanted builds, and of those whose images they need: what these are made of
    /// belongs to the key.
    pub(crate) fn drafts(&self, description: &Description) -> Result<Vec<Draft>, Fault> {
        let mut names = description.wanted.clone();
        let mut seen: BTreeSet<String> = names.iter().cloned().collect();
        let mut drafts = Vec::new();
        let mut next = 0;
        while let Some(name) = names.get(next) {
            next += 1;
            let Some(one) = description.builds.iter().find(|one| one.name == *name) else {
                continue;
            };
            let made = self.drafts_of(one, &images_of_others(description, one))?;
            for used in made.iter().map(targets).collect::<Result<Vec<_>, _>>()? {
                names.extend(used.into_iter().filter(|name| seen.insert(name.clone())));
            }
            drafts.extend(made);
        }
        Ok(drafts)
    }

    fn drafts_of(
        &self,
        one: &Described,
        built: &BTreeMap<String, String>,
    ) -> Result<Vec<Draft>, Fault> {
        let fault = |why: String| Fault::option(format!("{}: {}: {why}", self.shown, one.name));
        let options = self.options.over(one, self.around);
        let options = options.map_err(|error| fault(error.message))?;
        let context = one.context.strip_prefix(CALLER).unwrap_or(&one.context);
        let mut drafts = if let Some(text) = &one.inline {
            let file = format!("{}#{}", self.shown, one.name);
            options.drafts(Some(&one.name), file, text.as_bytes())?
        } else if is_remote(context) {
            return Err(fault(format!(
                "its context {context:?} is not a folder on this machine; clone it and name the clone"
            )));
        } else {
            let (file, text) = self.dockerfile(context, one.dockerfile.as_deref(), &fault)?;
            options.drafts(Some(&one.name), file, &text)?
        };
        for draft in &mut drafts {
            draft.built.clone_from(built);
            for context in draft.options.contexts.values_mut() {
                self.relate(context);
            }
        }
        Ok(drafts)
    }

    /// The Dockerfile's name, and its text.
    fn dockerfile(
        &self,
        context: &str,
        named: Option<&str>,
        fault: &impl Fn(String) -> Fault,
    ) -> Result<(String, Vec<u8>), Fault> {
        let named = named.unwrap_or(DOCKERFILES[0]);
        let place = match named.strip_prefix(CALLER) {
            Some(named) => self.folder.join(named),
            None if is_remote(named) => {
                let why = format!("its Dockerfile {named:?} is not a file on this machine");
                return Err(fault(why));
            }
            None => self.folder.join(context).join(named),
        };
        let place = files::dockerfile(self.folder, place);
        let shown = files::seen_from(&self.around.folder, &place);
        let text = files::read(&place, &shown)?;
        Ok((shown.display().to_string(), text))
    }

    /// compose names folders in full; a plan is compared with those of other checkouts.
    fn relate(&self, context: &mut NamedContext) {
        if let NamedContext::Other(folder) = context {
            let plain = folder.strip_prefix(CALLER).unwrap_or(folder);
            if plain.starts_with('/') || plain != folder {
                let place = self.folder.join(plain);
                let place = files::seen_from(&self.around.folder, &place);
                *folder = place.display().to_string();
            }
        }
    }
}

/// The images that the other builds of a project make, with the builds' names.
fn images_of_others(description: &Description, one: &Described) -> BTreeMap<String, String> {
    let mut images = BTreeMap::new();
    let others = description.builds.iter();
    for other in others.filter(|other| other.name != one.name) {
        for image in other.images.iter().filter(|it| !one.images.contains(it)) {
            // A name that is none is the tool's to refuse.
            if let Ok(reference) = ImageReference::parse(image) {
                images.insert(reference.or_latest().to_string(), other.name.clone());
            }
        }
    }
    images
}

/// The builds that a draft takes images or files from.
fn targets(draft: &Draft) -> Result<Vec<String>, Fault> {
    let plan = draft.plan(&ImageConfigs::new())?.plan;
    let contexts = plan.contexts.into_values();
    Ok(contexts
        .filter_map(|context| match context {
            NamedContext::Target(name) => Some(name),
            NamedContext::Image(_) | NamedContext::Other(_) => None,
        })
        .collect())
}
