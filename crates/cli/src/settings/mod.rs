//! What the options, the environment and larder.toml mean, decided once.
//!
//! This is the only part of the program that reads the environment.

mod ci;
mod docker;
mod file;
mod fresh;
mod git;
pub mod period;
mod registries;
mod size;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use larder_builds::Draft;
use larder_engine::program::EngineProgram;
use larder_engine::{Asked, ImageStore};
use larder_model::limits::BLOCK_BYTES;
use larder_model::lineage::Lineage;
use larder_store::Location;
use serde::{Deserialize, Serialize};

pub use docker::{BuildChoice, build_choice, docker_environment};
pub use fresh::Fresh;
pub use registries::Registries;

use crate::args::{EngineKind, How, Planned, Reach, Where};
use crate::exit::{Done, Failure};
use file::File;

/// The first version of Docker whose fresh installations use the containerd store.
const CONTAINERD_STORE_DEFAULT_MAJOR: u32 = 29;
/// Where a machine's part lives unless told otherwise.
const DEFAULT_STATE: &str = "/var/lib/larder/state";
/// Size of a new volume unless told otherwise. It is sparse: an empty one costs nothing.
const DEFAULT_VOLUME_BYTES: u64 = 64 << 30;
/// The smallest volume that an engine can use for anything.
const VOLUME_MIN_BYTES: u64 = 1 << 30;

/// Which state is meant, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// URL of the store.
    pub store: String,
    /// Whether somebody named the store.
    pub store_is_chosen: bool,
    /// Settings of the store's cloud, from the environment. Secrets are among them.
    pub store_access: Secrets,
    /// Folder of this machine's part.
    pub state: PathBuf,
    /// Folder of what the verbs of one job tell each other.
    pub notes: PathBuf,
    /// The project.
    pub project: String,
    /// The job.
    pub job: String,
    /// The scope.
    pub scope: String,
    /// Scopes to try next.
    pub fallback: Vec<String>,
    /// How the engine stands beside the machine's own.
    pub engine: Asked,
    /// The image store, if it was chosen.
    pub image_store: Option<ImageStore>,
    /// Size of a new volume.
    pub volume_bytes: u64,
    /// Build cache to keep at most.
    pub keep_bytes: u64,
    /// Whether named volumes are saved.
    pub keep_volumes: bool,
    /// Whether warnings are failures.
    pub strict: bool,
    /// How old what is known of base images may be.
    pub fresh: Fresh,
    /// How registries are reached.
    pub registries: Registries,
    /// The files of the builds that the job will run, as they were named.
    pub plan_paths: Vec<PathBuf>,
    /// The builds that the job will run, as far as they are known.
    pub drafts: Vec<Draft>,
    /// Folders to look for programs in.
    pub path: Vec<PathBuf>,
    /// The environment of the engine's processes.
    pub engine_environment: Vec<(OsString, OsString)>,
}

/// Names and values that must not be shown.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Secrets(pub Vec<(String, String)>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} settings", self.0.len())
    }
}

/// The environment, read once.
pub(crate) type Environment = BTreeMap<String, String>;

impl Settings {
    /// Decides all settings. `how` is absent for verbs that start no engine.
    pub fn decide(which: &Where, how: Option<&How>) -> Done<Self> {
        let default_how = How::default();
        let how = how.unwrap_or(&default_how);
        Surroundings::look(which)?.choices().settings(which, how)
    }

    /// Decides the settings of a verb that looks at builds, and what it needs beside them.
    pub fn for_builds(
        which: &Where,
        reach: &Reach,
        kind: &EngineKind,
    ) -> Done<(Self, larder_builds::Surroundings)> {
        let around = Surroundings::look(which)?;
        let choices = around.choices();
        let how = How {
            kind: kind.clone(),
            planned: Planned {
                reach: reach.clone(),
                ..Planned::default()
            },
            ..How::default()
        };
        let settings = choices.settings(which, &how)?;
        let named = choices.text(
            which.project.as_ref(),
            "LARDER_PROJECT",
            around.file.project.as_ref(),
        );
        let around = for_builds(around.environment, around.folder, named);
        Ok((settings, around))
    }

    /// The line of snapshots of an engine of this compatibility.
    pub fn lineage(&self, compatibility: &str) -> Lineage {
        Lineage {
            project: self.project.clone(),
            compatibility: compatibility.to_owned(),
            scope: self.scope.clone(),
            job: self.job.clone(),
        }
    }

    /// The image store that was chosen, else the one of fresh installations of this version.
    pub fn image_store(&self, program: &EngineProgram) -> ImageStore {
        let usual = if program.version.major < CONTAINERD_STORE_DEFAULT_MAJOR {
            ImageStore::Overlay2
        } else {
            ImageStore::Containerd
        };
        self.image_store.unwrap_or(usual)
    }

    /// Opens the store.
    pub fn open_store(&self) -> Done<larder_store::Objects> {
        let location = Location::parse(&self.store)?;
        Ok(location.open(&self.store_access.0)?)
    }

    /// Whether the store is a folder, and reading from it asks no other machine.
    pub fn store_is_folder(&self) -> bool {
        Location::parse(&self.store).is_ok_and(|location| location.as_folder().is_some())
    }
}

/// What is around a verb that starts an engine, for the builds of its job.
pub fn surroundings_of_builds() -> Done<larder_builds::Surroundings> {
    Ok(for_builds(environment(), current_folder()?, None))
}

/// What is around a command that looks at builds. The tools that read files for it do not see the
/// credentials of a store.
fn for_builds(
    environment: Environment,
    folder: PathBuf,
    named_project: Option<String>,
) -> larder_builds::Surroundings {
    let variables = environment.keys();
    larder_builds::Surroundings {
        withheld: variables
            .filter(|name| is_credential(name))
            .cloned()
            .collect(),
        path: search_path(),
        environment,
        folder,
        named_project,
    }
}

fn search_path() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

/// What all settings are made of.
struct Surroundings {
    environment: Environment,
    folder: PathBuf,
    file: File,
}

impl Surroundings {
    fn look(which: &Where) -> Done<Self> {
        let environment = environment();
        let folder = current_folder()?;
        let file = File::find(which.config.as_deref(), &environment, &folder)?;
        Ok(Self {
            environment,
            folder,
            file,
        })
    }

    fn choices(&self) -> Choices<'_> {
        Choices {
            environment: &self.environment,
            file: &self.file,
            folder: &self.folder,
        }
    }
}

fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn current_folder() -> Done<PathBuf> {
    std::env::current_dir()
        .map_err(|error| Failure::input(format!("the current folder cannot be read: {error}")))
}

/// The three places of a setting, in order.
struct Choices<'a> {
    environment: &'a Environment,
    file: &'a File,
    folder: &'a Path,
}

impl Choices<'_> {
    /// A text: option, then variable, then file. Empty ones say nothing.
    fn text(
        &self,
        option: Option<&String>,
        variable: &str,
        file: Option<&String>,
    ) -> Option<String> {
        let places = [option, self.environment.get(variable), file];
        let mut said = places.into_iter().flatten();
        said.find(|value| !value.is_empty()).cloned()
    }

    fn flag(&self, option: bool, variable: &str, file: Option<bool>) -> Done<bool> {
        if option {
            return Ok(true);
        }
        match self.environment.get(variable).map(String::as_str) {
            Some("1" | "true" | "yes") => Ok(true),
            Some("0" | "false" | "no") => Ok(false),
            None | Some("") => Ok(file.unwrap_or(false)),
            Some(other) => Err(Failure::input(format!(
                "{variable}={other:?} is neither true nor false; write 1 or 0"
            ))),
        }
    }

    fn settings(&self, which: &Where, how: &How) -> Done<Settings> {
        let folder = self.folder;
        let ci = ci::detect(self.environment);
        let repository = git::find(folder);
        let file = self.file;
        let text = |option, variable, file| self.text(option, variable, file);
        let state_option = which.state.as_deref().map(lossy);
        let state = text(state_option.as_ref(), "LARDER_STATE", file.state.as_ref());
        let memory = self.own_folder(state.as_deref(), "images");
        let notes = self.own_folder(state.as_deref(), "archives");
        let state = absolute(folder, state.as_deref().unwrap_or(DEFAULT_STATE));
        let project = text(
            which.project.as_ref(),
            "LARDER_PROJECT",
            file.project.as_ref(),
        );
        let scope = text(which.scope.as_ref(), "LARDER_SCOPE", file.scope.as_ref());
        let volume_bytes = self.volume_bytes(how)?;
        let keep_bytes = self.keep_bytes(how, volume_bytes)?;
        let image_store = text(
            how.kind.image_store.as_ref(),
            "LARDER_IMAGE_STORE",
            file.image_store.as_ref(),
        );
        let engine = text(how.engine.as_ref(), "LARDER_ENGINE", file.engine.as_ref());
        let own_branch = || repository.as_ref()?.branch.clone();
        Ok(Settings {
            store: self.store(which, folder)?,
            store_is_chosen: self.chosen_store(which).is_some(),
            store_access: Secrets(self.store_access()),
            state,
            notes,
            project: project
                .or(ci.project)
                .or(repository
                    .as_ref()
                    .and_then(|repository| repository.project.clone()))
                .unwrap_or_else(|| folder_name(folder)),
            job: text(which.job.as_ref(), "LARDER_JOB", file.job.as_ref())
                .or(ci.job)
                .unwrap_or_else(|| "default".to_owned()),
            scope: scope
                .or(ci.scope)
                .or_else(own_branch)
                .unwrap_or_else(|| "main".to_owned()),
            fallback: self.fallback(which).unwrap_or_else(|| {
                let default = repository
                    .as_ref()
                    .and_then(|repository| repository.default_branch.clone());
                let default = ci
                    .default_branch
                    .or(default)
                    .unwrap_or_else(|| "main".to_owned());
                ci.target.into_iter().chain([default]).collect()
            }),
            engine: engine.map_or(Ok(Asked::Auto), |text| text.parse())?,
            image_store: image_store.map(|text| text.parse()).transpose()?,
            volume_bytes,
            keep_bytes,
            keep_volumes: self.flag(how.keep_volumes, "LARDER_KEEP_VOLUMES", file.keep_volumes)?,
            strict: self.flag(how.strict, "LARDER_STRICT", file.strict)?,
            fresh: self.fresh(how)?,
            registries: self.registries(&how.planned.reach, memory)?,
            plan_paths: self.plan_paths(how),
            drafts: Vec::new(),
            path: search_path(),
            engine_environment: larder_engine::child_environment(std::env::vars_os()),
        })
    }

    fn plan_paths(&self, how: &How) -> Vec<PathBuf> {
        if how.planned.plan.is_empty() {
            self.file.plan.clone().unwrap_or_default()
        } else {
            how.planned.plan.clone()
        }
    }

    /// A folder for what needs no root: in the machine's part if that was chosen, else the user's.
    fn own_folder(&self, state: Option<&str>, name: &str) -> PathBuf {
        match state {
            Some(state) => absolute(self.folder, state).join(name),
            None => self.cache_folder().join(format!("larder-{name}")),
        }
    }

    fn volume_bytes(&self, how: &How) -> Done<u64> {
        let text = self.text(how.size.as_ref(), "LARDER_SIZE", self.file.size.as_ref());
        let Some(text) = text else {
            return Ok(DEFAULT_VOLUME_BYTES);
        };
        let bytes = size::parse("--size", &text)?.next_multiple_of(BLOCK_BYTES as u64);
        if bytes < VOLUME_MIN_BYTES {
            return Err(Failure::input(format!(
                "--size {text:?} is too small; use at least 1GiB"
            )));
        }
        larder_model::map::MapRoot::empty(bytes)
            .map_err(|error| Failure::input(format!("--size {text:?}: {error}")))?;
        Ok(bytes)
    }

    fn keep_bytes(&self, how: &How, volume_bytes: u64) -> Done<u64> {
        let keep = self.text(how.keep.as_ref(), "LARDER_KEEP", self.file.keep.as_ref());
        keep.map_or(Ok(volume_bytes / 3), |text| size::parse("--keep", &text))
    }

    fn fallback(&self, which: &Where) -> Option<Vec<String>> {
        let variable = || {
            let text = self.environment.get("LARDER_FALLBACK")?;
            Some(text.split(',').map(str::to_owned).collect())
        };
        let named: Option<Vec<String>> = which.fallback.clone().or_else(variable);
        let mut named = named.or_else(|| self.file.fallback.clone())?;
        named.retain(|name| !name.is_empty());
        Some(named)
    }

    fn chosen_store(&self, which: &Where) -> Option<String> {
        let file = self.file.store.as_ref();
        self.text(which.store.as_ref(), "LARDER_STORE", file)
    }

    fn store(&self, which: &Where, folder: &Path) -> Done<String> {
        let store = match self.chosen_store(which) {
            Some(url) if url.contains("://") => url,
            Some(path) => absolute(folder, &path).to_string_lossy().into_owned(),
            None => self.default_store().to_string_lossy().into_owned(),
        };
        Ok(Location::parse(&store)?.to_string())
    }

    /// A folder in the user's cache folder.
    fn default_store(&self) -> PathBuf {
        self.cache_folder().join("larder")
    }

    /// The user's cache folder (XDG Base Directory Specification).
    fn cache_folder(&self) -> PathBuf {
        let cache = self
            .environment
            .get("XDG_CACHE_HOME")
            .filter(|path| path.starts_with('/'));
        let home = || {
            Path::new(self.environment.get("HOME").map_or("/root", String::as_str)).join(".cache")
        };
        cache.map_or_else(home, PathBuf::from)
    }

    /// The variables that the clouds' own tools read.
    fn store_access(&self) -> Vec<(String, String)> {
        let variables = self.environment.iter();
        let variables = variables.filter(|(name, _)| is_of_cloud(name));
        variables
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// Whether a cloud's own tools read a variable.
fn is_of_cloud(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a variable of a cloud holds a credential, and not a region or an address.
fn is_credential(name: &str) -> bool {
    const WORDS: [&str; 6] = ["KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL", "SAS"];
    is_of_cloud(name) && WORDS.iter().any(|word| name.contains(word))
}

fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn absolute(folder: &Path, path: &str) -> PathBuf {
    folder.join(path).components().collect()
}

fn folder_name(folder: &Path) -> String {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "project".to_owned())
}
