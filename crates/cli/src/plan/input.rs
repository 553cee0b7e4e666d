//! What was asked for, as builds.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use larder_model::dockerfile::{BuildOptions, ImageConfigs, NamedContext, Platform};

use super::described::Described;
use super::draft::Draft;
use super::fault::Fault;
use super::files::{FILE_MAX_BYTES, read, tidy};
use super::platforms::{host_platform, platforms};
use super::{bake, compose, extras};
use crate::args::Build;
use crate::settings::{BuildSurroundings, Environment};

/// What docker looks for in a build's folder, in order.
const DOCKERFILES: [&str; 2] = ["Dockerfile", "dockerfile"];
/// What `docker compose` looks for, in order.
const COMPOSE_FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// What `docker compose` puts on top of them, the first that is there (compose-go `cli/options.go`,
/// `DefaultOverrideFileNames`). Bake does not.
const COMPOSE_OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];
/// What `docker buildx bake` reads after them: all that are there, in order (buildx `bake/bake.go`
/// `defaultFilenames`).
const BAKE_FILES: [&str; 4] = [
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];
const STDIN: &str = "-";

/// The builds that were asked for.
pub fn drafts(build: &Build, around: &BuildSurroundings) -> Result<Vec<Draft>, Fault> {
    let options = Options::read(build, &around.environment)?;
    let input = locate(build)?;
    let mut drafts = match &input {
        Input::Stdin => options.drafts(None, STDIN, &stdin()?),
        Input::Files { files, base } if is_description(&files[0]) => {
            let builds = described_in(files, around)?;
            let each = builds
                .iter()
                .map(|one| described(one, &files[0], base, around, &options));
            each.collect::<Result<Vec<_>, _>>()?.concat()
        }
        Input::Files { files, .. } => {
            let text = read(&around.folder.join(&files[0]), &files[0])?;
            options.drafts(None, &files[0].display().to_string(), &text)
        }
    };
    if !build.extra.is_empty() {
        let stdin = build.context == Path::new(STDIN);
        let context = Some(&build.context).filter(|_| !stdin);
        let folder = context.map_or(around.folder.clone(), |context| around.folder.join(context));
        let extras = extras::fingerprints(&folder, &build.extra)?;
        for draft in &mut drafts {
            draft.extras.clone_from(&extras);
        }
    }
    Ok(drafts)
}

/// The file to plan, if a folder has one that is planned without being named.
pub fn usual_file(folder: &Path) -> Option<PathBuf> {
    let mut names = DOCKERFILES.iter().chain(&COMPOSE_FILES).chain(&BAKE_FILES);
    names
        .find(|name| folder.join(name).is_file())
        .map(PathBuf::from)
}

/// What was named, or found.
enum Input {
    Stdin,
    /// A Dockerfile, or the files that describe builds together; and the folder that those of a bake
    /// file are relative to.
    Files {
        files: Vec<PathBuf>,
        base: PathBuf,
    },
}

/// Finds the file as docker does: `-f` is relative to the current folder, the usual names to the
/// context.
fn locate(build: &Build) -> Result<Input, Fault> {
    let context = &build.context;
    if let Some(file) = &build.file {
        let stdin = file == Path::new(STDIN);
        return Ok(if stdin {
            Input::Stdin
        } else {
            let is_bake = is_bake(file);
            let base = file.parent().filter(|_| !is_bake);
            let base = base.unwrap_or(Path::new("")).to_owned();
            Input::Files {
                files: vec![file.clone()],
                base,
            }
        });
    }
    if context == Path::new(STDIN) {
        return Ok(Input::Stdin);
    }
    let text = context.to_string_lossy();
    if text.contains("://") || text.starts_with("git@") {
        return Err(Fault::option(format!(
            "{text:?} is not a folder on this machine; clone it first and name the clone"
        )));
    }
    if context.is_file() {
        return Err(Fault::option(format!(
            "{text:?} is a file, not a build's folder; name it with -f"
        )));
    }
    let base = if context == Path::new(".") {
        Path::new("")
    } else {
        context
    };
    match usual_file(context) {
        Some(name) => {
            let names = std::iter::once(name.clone()).chain(read_with(&name, context));
            Ok(Input::Files {
                files: names.map(|name| base.join(name)).collect(),
                base: base.to_owned(),
            })
        }
        None => Err(Fault::file(
            &context.join(DOCKERFILES[0]),
            "there is no such file; name the Dockerfile with -f",
        )),
    }
}

/// The files of a folder that are read after the usual one.
fn read_with(name: &Path, folder: &Path) -> Vec<PathBuf> {
    if !is_description(name) {
        return Vec::new();
    }
    let there = |other: &&&str| name != Path::new(other) && folder.join(other).is_file();
    let bakes: Vec<PathBuf> = BAKE_FILES.iter().filter(there).map(PathBuf::from).collect();
    if !bakes.is_empty() || is_bake(name) {
        return bakes;
    }
    let first = COMPOSE_OVERRIDES.iter().find(there);
    first.map(PathBuf::from).into_iter().collect()
}

fn is_description(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json" | "hcl"))
}

fn is_bake(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("json" | "hcl"))
}

/// The images that these files describe together: compose files, bake files, or both.
fn described_in(files: &[PathBuf], around: &BuildSurroundings) -> Result<Vec<Described>, Fault> {
    let environment = &around.environment;
    let mut texts = Vec::new();
    for file in files {
        let text = String::from_utf8(read(&around.folder.join(file), file)?)
            .map_err(|_| Fault::file(file, "it is not UTF-8 text"))?;
        texts.push((file.clone(), text));
    }
    let (bakes, composes): (Vec<_>, Vec<_>) =
        texts.into_iter().partition(|(file, _)| is_bake(file));
    if bakes.is_empty() {
        return compose::builds(&composes, &around.folder, environment);
    }
    let services = compose::services(&composes, &around.folder, environment)?;
    bake::builds(bakes, &services, environment)
}

fn stdin() -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    let refuse = |why: String| Fault::file(Path::new(STDIN), why);
    let mut limited = std::io::stdin().take(FILE_MAX_BYTES + 1);
    let read = limited.read_to_end(&mut text);
    read.map_err(|error| refuse(format!("standard input cannot be read: {error}")))?;
    // Half a Dockerfile is another one.
    if text.len() as u64 > FILE_MAX_BYTES {
        let why = format!("standard input has more than the {FILE_MAX_BYTES} bytes that are read");
        return Err(refuse(why));
    }
    Ok(text)
}

/// The builds of one image of a compose or bake file.
fn described(
    one: &Described,
    file: &Path,
    base: &Path,
    around: &BuildSurroundings,
    options: &Options,
) -> Result<Vec<Draft>, Fault> {
    let fault = |text: String| Fault::file(file, format!("{}: {text}", one.name));
    let options = options.over(one).map_err(|error| fault(error.message))?;
    if let Some(text) = &one.inline {
        let shown = format!("{}#{}", file.display(), one.name);
        return Ok(options.drafts(Some(&one.name), &shown, text.as_bytes()));
    }
    if one.context.contains("://") || one.context.starts_with("git@") {
        return Err(fault(format!(
            "its context {:?} is not a folder on this machine; clone it and name the clone",
            one.context
        )));
    }
    let context = tidy(&base.join(&one.context));
    let name = one.dockerfile.as_deref().unwrap_or(DOCKERFILES[0]);
    let path = tidy(&context.join(name));
    let text = read(&around.folder.join(&path), &path)?;
    Ok(options.drafts(Some(&one.name), &path.display().to_string(), &text))
}

/// The options of a build, understood.
#[derive(Debug, Clone)]
struct Options {
    target: Option<String>,
    platforms: Vec<Platform>,
    args: BTreeMap<String, String>,
    contexts: BTreeMap<String, NamedContext>,
}

impl Options {
    fn read(build: &Build, environment: &Environment) -> Result<Self, Fault> {
        let mut args = BTreeMap::new();
        for arg in &build.build_arg {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (arg.as_str(), environment.get(arg).cloned()),
            };
            if name.is_empty() {
                return Err(Fault::option(format!(
                    "--build-arg {arg:?} has no name; write NAME=VALUE"
                )));
            }
            // As for docker, a name that the environment does not know is not given.
            if let Some(value) = value {
                args.insert(name.to_owned(), value);
            }
        }
        let mut contexts = BTreeMap::new();
        for context in &build.build_context {
            let (name, value) = context.split_once('=').ok_or_else(|| {
                Fault::option(format!(
                    "--build-context {context:?} has no value; write NAME=FOLDER or NAME=docker-image://IMAGE"
                ))
            })?;
            if name.is_empty() {
                return Err(Fault::option(format!(
                    "--build-context {context:?} has no name; write NAME=FOLDER"
                )));
            }
            contexts.insert(name.to_owned(), NamedContext::parse(value));
        }
        Ok(Self {
            target: build.target.clone(),
            platforms: platforms(&build.platform)?,
            args,
            contexts,
        })
    }

    /// These options on top of what a file says, as `bake --set` and `compose build` have it.
    fn over(&self, one: &Described) -> Result<Self, Fault> {
        let mut options = self.clone();
        if options.platforms.is_empty() {
            options.platforms = platforms(&one.platforms)?;
        }
        options.target = options.target.or_else(|| one.target.clone());
        for (name, value) in &one.args {
            let arg = options.args.entry(name.clone());
            arg.or_insert_with(|| value.clone());
        }
        for (name, value) in &one.contexts {
            let context = options.contexts.entry(name.clone());
            context.or_insert_with(|| NamedContext::parse(value));
        }
        Ok(options)
    }

    /// One build for each platform. The text is read as `BuildKit` reads it: what is not UTF-8 is
    /// replaced.
    fn drafts(&self, name: Option<&str>, file: &str, text: &[u8]) -> Vec<Draft> {
        let host = host_platform();
        let platforms = if self.platforms.is_empty() {
            std::slice::from_ref(&host)
        } else {
            &self.platforms
        };
        let draft = |platform: &Platform| Draft {
            name: name.map(str::to_owned),
            file: file.to_owned(),
            text: String::from_utf8_lossy(text).into_owned(),
            options: BuildOptions {
                target: self.target.clone(),
                build_args: self.args.clone(),
                build_platform: host.clone(),
                target_platform: Some(platform.clone()),
                contexts: self.contexts.clone(),
                image_configs: ImageConfigs::new(),
            },
            extras: BTreeMap::new(),
        };
        platforms.iter().map(draft).collect()
    }
}
