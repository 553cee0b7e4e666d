//! The drafts of the images that a tool describes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use larder_local::checkout::without_dots;
use larder_model::dockerfile::{BuildOptions, ImageConfigs, NamedContext};
use larder_model::reference::ImageReference;

use crate::description::{Described, Description};
use crate::draft::{Draft, Drafted};
use crate::fault::Fault;
use crate::files::{self, DOCKERFILES, is_remote};
use crate::options::{Asked, host_platform, platforms};

/// A folder of whoever called the tool (buildx `bake/bake.go`, `toBuildOpt`).
const CALLER: &str = "cwd://";

pub(crate) struct Project<'a> {
    pub(crate) asked: &'a Asked<'a>,
    pub(crate) description: &'a Description,
    /// The file that is named where the text of a Dockerfile stands in it.
    pub(crate) shown: &'a str,
}

impl Project<'_> {
    /// The drafts of the wanted builds, and of those whose images they need: what these are made of
    /// belongs to the key. One that cannot be planned hides no other.
    pub(crate) fn drafts(&self, wanted: Vec<String>) -> Result<Drafted, Fault> {
        let used = self.used()?;
        if wanted.is_empty() && used.is_empty() {
            return Err(nothing_built(self.shown));
        }
        let mut names = VecDeque::from(wanted);
        let mut seen = BTreeSet::new();
        let mut all = Drafted {
            used,
            ..Drafted::default()
        };
        while let Some(name) = names.pop_front() {
            if let Some(one) = self.description.builds.get(&name)
                && seen.insert(name.clone())
            {
                match self.drafts_of(&name, one) {
                    Ok((drafts, needed)) => {
                        all.drafts.extend(drafts);
                        names.extend(needed);
                    }
                    Err(fault) => all.faults.push(fault),
                }
            }
        }
        Ok(all)
    }

    /// The images that are run as they are. Those that the project itself builds are not among them.
    fn used(&self) -> Result<Vec<Draft>, Fault> {
        let built = self.built_by_others("", &Described::default());
        let mut drafts = Vec::new();
        for (name, (image, platform)) in &self.description.used {
            // A name that is none is the tool's to refuse.
            let Ok(image) = ImageReference::parse(image).map(ImageReference::or_latest) else {
                continue;
            };
            if !built.contains_key(&image) {
                let named = platforms(std::slice::from_ref(platform));
                let named = named.map_err(|fault| self.fault(name, &fault.message))?;
                let options = BuildOptions {
                    build_platform: host_platform(),
                    target_platform: named.into_iter().next(),
                    ..BuildOptions::default()
                };
                drafts.push(Draft::used(name, self.shown, &image, options));
            }
        }
        Ok(drafts)
    }

    /// The drafts of a build, one for each platform, and the builds that they take images or files from.
    fn drafts_of(&self, name: &str, one: &Described) -> Result<(Vec<Draft>, Vec<String>), Fault> {
        let options = self.asked.typed.over(&one.options, self.asked.around);
        let mut options = options.map_err(|fault| self.fault(name, &fault.message))?;
        let built = self.built_by_others(name, one);
        for options in &mut options {
            options.built.clone_from(&built);
            for context in options.contexts.values_mut() {
                self.relate(context);
            }
        }
        let (file, text) = self.dockerfile(name, one)?;
        let drafts = Draft::each(Some(name), &file, &text, options)?;
        let needed: Result<Vec<_>, _> = drafts.iter().map(targets).collect();
        Ok((drafts, needed?.concat()))
    }

    fn fault(&self, name: &str, why: &str) -> Fault {
        Fault::option(format!("{}: {name}: {why}", self.shown))
    }

    /// The Dockerfile's name, and its text.
    fn dockerfile(&self, name: &str, one: &Described) -> Result<(String, Vec<u8>), Fault> {
        if !one.dockerfile_inline.is_empty() {
            let text = one.dockerfile_inline.clone().into_bytes();
            return Ok((format!("{}#{name}", self.shown), text));
        }
        let context = one.context.strip_prefix(CALLER).unwrap_or(&one.context);
        if is_remote(context) && !self.asked.folder.join(context).is_dir() {
            let why = format!(
                "its context {context:?} is not a folder on this machine; clone it and name the clone"
            );
            return Err(self.fault(name, &why));
        }
        let named = match one.dockerfile.as_str() {
            "" => DOCKERFILES[0],
            named => named,
        };
        let place = match named.strip_prefix(CALLER) {
            Some(named) => self.asked.folder.join(named),
            None if is_remote(named) => {
                let why = format!("its Dockerfile {named:?} is not a file on this machine");
                return Err(self.fault(name, &why));
            }
            // As the tools join them: by their text, whatever links there are.
            None => without_dots(&self.asked.folder.join(context).join(named)),
        };
        let place = files::dockerfile(&self.asked.folder, place);
        let shown = files::seen_from(&self.asked.around.folder, &place);
        let text = files::read(&place, &shown)?;
        Ok((shown.display().to_string(), text))
    }

    /// The images that the other builds of the project make, with the builds' names.
    fn built_by_others(&self, name: &str, one: &Described) -> BTreeMap<ImageReference, String> {
        let others = self.description.builds.iter();
        let mut images = BTreeMap::new();
        for (other, theirs) in others.filter(|(other, _)| *other != name) {
            for image in theirs.tags.iter().filter(|it| !one.tags.contains(it)) {
                // A name that is none is the tool's to refuse.
                if let Ok(reference) = ImageReference::parse(image) {
                    images.insert(reference.or_latest(), other.clone());
                }
            }
        }
        images
    }

    /// compose names folders in full; a plan is compared with those of other checkouts.
    fn relate(&self, context: &mut NamedContext) {
        if let NamedContext::Other(folder) = context {
            let plain = folder.strip_prefix(CALLER).unwrap_or(folder);
            if plain.starts_with('/') || plain != folder {
                let place = self.asked.folder.join(plain);
                let place = files::seen_from(&self.asked.around.folder, &place);
                *folder = place.display().to_string();
            }
        }
    }
}

/// The fault of files that describe no image to build.
pub(crate) fn nothing_built(shown: &str) -> Fault {
    Fault::option(format!(
        "{shown}: nothing of it is built by default; name a service or target with --only, or a \
         Dockerfile with -f"
    ))
}

/// The builds that a draft takes images or files from.
fn targets(draft: &Draft) -> Result<Vec<String>, Fault> {
    let contexts = draft.plan(&ImageConfigs::new())?.plan.contexts;
    let targets = contexts.values().filter_map(NamedContext::target);
    Ok(targets.map(str::to_owned).collect())
}
