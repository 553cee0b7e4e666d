//! What was typed ([`args`]), and what it means with the environment and larder.toml, decided once ([`Settings`]);
//! failures with their exit codes ([`exit`]).
//!
//! This is the only part of the program that reads the environment.

pub mod args;
mod ci;
mod descent;
mod engines;
pub mod exit;
mod file;
mod folders;
mod fresh;
mod keys;
mod log;
mod registries;
mod size;
mod store;

use std::path::{Path, PathBuf};

use larder_archive::builder::BuildChoice;
use larder_bases::Project;
use larder_ci::Environment;
use larder_local::checkout::Checkout;
use larder_local::own::{OwnFolder, owner_of};
use larder_local::people::Voice;
use larder_model::ladder::Descent;
use larder_model::limits::BLOCK_BYTES;
use larder_session::{JobRequest, Place, Prefetch, RetryEmpty, Tenant};

pub use ci::Said;
pub use fresh::period;
pub use log::log_filter;
pub use size::parse as size;

use crate::args::{Care, EngineKind, How, Planned, Reach, Run, Where};
use crate::exit::{Done, Failure};
use descent::Doubt;
use file::File;
use store::is_credential;

/// The commit that the program is built from. CI systems and `cargo xtask dist` name it in a build's environment.
pub const BUILT_FROM: Option<&str> = option_env!("GIT_COMMIT");

const DEFAULT_STATE: &str = "/var/lib/larder/state";
/// The default size of a new volume. It is sparse: an empty one takes no space.
const DEFAULT_VOLUME_BYTES: u64 = 64 << 30;
/// The smallest volume that an engine can use for anything.
const VOLUME_MIN_BYTES: u64 = 1 << 30;

/// All settings of a command.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Those of a session, which also name the project, its store and its lineages.
    pub session: larder_session::Settings,
    /// Whether an option, a variable, a file or the CI system names the scope, so that no other is meant.
    pub scope_is_told: bool,
    /// What the environment says of the job.
    pub said: Said,
    /// Directory for notes that the commands of one job leave for each other.
    pub notes: OwnFolder,
    /// The files of the builds that the job will run, as they were named.
    pub plan_paths: Vec<PathBuf>,
    /// What is around a command that looks at builds.
    pub around: larder_builds::Surroundings,
    /// The variables by which the docker command finds its engine.
    pub docker: larder_docker::Environment,
    /// The variables by which it chooses a builder.
    pub build_choice: BuildChoice,
    /// Whose podman it would be.
    podman_user: Option<String>,
    /// What was said about collecting garbage after a save, but by an option.
    gc: Option<String>,
    /// Why a guessed scope is not that of a branch.
    scope_doubt: Option<Doubt>,
}

impl Settings {
    /// Decides all settings. `how` is absent for verbs that start no engine.
    pub fn decide(which: &Where, how: Option<&How>, voice: &dyn Voice) -> Done<Self> {
        let default_how = How::default();
        let how = how.unwrap_or(&default_how);
        Choices::look(which, voice)?.settings(which, how)
    }

    /// Decides all settings of a `run`, and whether its command is run again when its disk has failed.
    pub fn for_run(verb: &Run, voice: &dyn Voice) -> Done<(Self, RetryEmpty)> {
        let choices = Choices::look(&verb.which, voice)?;
        let again = choices.retry_empty(verb)?;
        let how = choices.for_root(&verb.how);
        let settings = match &verb.dir[..] {
            [] => choices.settings(&verb.which, &how),
            folders => choices.of_folders(&verb.which, &how, folders),
        };
        Ok((settings?, again))
    }

    /// Decides the settings of a verb that looks at builds.
    pub fn for_builds(
        which: &Where,
        reach: &Reach,
        kind: &EngineKind,
        voice: &dyn Voice,
    ) -> Done<Self> {
        let how = How {
            kind: kind.clone(),
            planned: Planned {
                reach: reach.clone(),
                ..Planned::default()
            },
            ..How::default()
        };
        Self::decide(which, Some(&how), voice)
    }

    /// What the background process of a session is given.
    pub fn job_request(self, voice: &dyn Voice) -> Done<JobRequest> {
        self.doubt_scope(voice)?;
        Ok(JobRequest {
            builds: self.request(),
            settings: self.session,
            program: None,
        })
    }

    /// The session of the state directory. A commit could bring what is in one below its checkout, and builds
    /// would take it for their context.
    pub fn place(&self) -> Done<Place> {
        let state = &self.session.state;
        let named = state.named();
        let current = Checkout::above(&self.around.folder);
        let current = current.filter(|checkout| checkout.holds(named));
        if let Some(checkout) = Checkout::above(named).or(current) {
            return Err(Failure::input(format!(
                "the state directory {} is in the checkout {}, whose files are a commit's; name one elsewhere \
                 with --state or LARDER_STATE",
                named.display(),
                checkout.root().display()
            )));
        }
        Ok(Place::of(state)?)
    }

    /// The builds that the job will run: those that were named, or those of the current folder. Without an engine
    /// there are none.
    pub fn request(&self) -> larder_builds::Request {
        let around = self.around.clone();
        match self.session.tenant {
            Tenant::Engine | Tenant::Builder | Tenant::Podman | Tenant::UsersPodman(_) => {
                larder_builds::Request::new(&self.plan_paths, around)
            }
            Tenant::Folders(_) => larder_builds::Request {
                builds: Vec::new(),
                around,
            },
        }
    }

    /// Who would live on a volume for podman.
    pub fn for_podman(&self) -> Done<Tenant> {
        engines::podman(self.podman_user.as_deref())
    }

    /// Whose garbage is collected after a save, now and then; nothing if that was forbidden.
    pub fn collects(&self, care: &Care) -> Done<Option<Project>> {
        let when = care.gc.as_deref().or(self.gc.as_deref());
        let does = word("--gc", when, &[("auto", true), ("off", false)])?;
        Ok(does.then(|| self.project().clone()))
    }

    /// The project, as its jobs share it.
    pub fn project(&self) -> &Project {
        &self.session.project
    }

    /// The settings of a job whose engine is an API away.
    pub fn archive(&self, voice: &dyn Voice) -> Done<larder_archive::Settings> {
        self.doubt_scope(voice)?;
        Ok(larder_archive::Settings {
            project: self.project().clone(),
            notes: self.notes.clone(),
            docker: self.docker.clone(),
        })
    }
}

fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn current_folder() -> Done<PathBuf> {
    std::env::current_dir()
        .map_err(|error| Failure::input(format!("the current directory cannot be read: {error}")))
}

/// The file that a job's summary is added to: as it was named, else the one that GitHub shows ("Workflow commands",
/// "Adding a job summary").
pub fn summary_file(named: Option<&Path>) -> Option<PathBuf> {
    let of_github = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty());
    named.map(Path::to_owned).or(of_github.map(PathBuf::from))
}

fn search_path() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

/// A variable; an empty one says nothing.
fn variable(environment: &Environment, name: &str) -> Option<String> {
    let value = environment.get(name);
    value.filter(|value| !value.is_empty()).cloned()
}

/// What all settings are made of, beside the options.
struct Choices {
    environment: Environment,
    file: File,
    folder: PathBuf,
}

/// What a word means that is an option's value; the first one, if nobody says any.
fn word<T: Copy>(option: &str, said: Option<&str>, words: &[(&str, T)]) -> Done<T> {
    let said = said.filter(|text| !text.is_empty()).unwrap_or(words[0].0);
    let meant = words.iter().find(|(word, _)| *word == said);
    meant.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let known = known.join(", ");
        Failure::input(format!("{option} {said:?} is unknown; use one of: {known}"))
    })
}

impl Choices {
    fn look(which: &Where, voice: &dyn Voice) -> Done<Self> {
        let environment = environment();
        let folder = current_folder()?;
        let read = File::find(which.config.clone(), &environment, &folder)?;
        if let Some(warning) = &read.warning {
            voice.warning(warning);
        }
        Ok(Self {
            file: read.file,
            environment,
            folder,
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        variable(&self.environment, name)
    }

    /// A text: option, then variable, then file. Empty ones say nothing.
    fn text<'a>(
        &'a self,
        option: impl Into<Option<&'a String>>,
        variable: &str,
        file: impl Into<Option<&'a String>>,
    ) -> Option<String> {
        let places = [option.into(), self.environment.get(variable), file.into()];
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
        let typed = which.state.as_deref().map(lossy);
        let state = self.text(&typed, "LARDER_STATE", &self.file.state);
        let path = search_path();
        let (descent, scope_doubt) = self.descent(which);
        let scope_is_told = self.told_scope(which).is_some()
            || larder_ci::detect(&self.environment).scope.is_some();
        Ok(Settings {
            scope_is_told,
            said: self.said(scope_is_told),
            scope_doubt,
            gc: self.text(None, "LARDER_GC", &self.file.gc),
            notes: self.own_folder(state.as_deref(), "archives"),
            plan_paths: self.plan_paths(how),
            around: self.around(which, path.clone()),
            docker: self.docker(path.clone()),
            podman_user: self.podman_user(how),
            build_choice: self.build_choice(),
            session: self.session(which, how, state.as_deref(), descent)?,
        })
    }

    fn session(
        &self,
        which: &Where,
        how: &How,
        state: Option<&str>,
        descent: Descent,
    ) -> Done<larder_session::Settings> {
        let file = &self.file;
        let volume_bytes = self.volume_bytes(how)?;
        let (tenant, engine) = self.engine(how)?;
        let builder = self.flag(how.builder, "LARDER_BUILDER", file.builder)?;
        let typed = &how.kind.image_store;
        let image_store = self.text(typed, "LARDER_IMAGE_STORE", &file.image_store);
        // What is set for Docker does not count for podman.
        let image_store = image_store.filter(|_| tenant == Tenant::Engine);
        Ok(larder_session::Settings {
            project: self.project(which, how, state, descent)?,
            state: self.own(self.absolute(state.unwrap_or(DEFAULT_STATE))),
            builder: builder && tenant == Tenant::Engine,
            tenant,
            person: self.user(),
            engine,
            image_store: image_store.map(|text| text.parse()).transpose()?,
            volume_bytes,
            keep_bytes: self.keep_bytes(how, volume_bytes)?,
            keep_volumes: self.flag(how.keep_volumes, "LARDER_KEEP_VOLUMES", file.keep_volumes)?,
            prefetch: self.prefetch(how)?,
            background_upload: self.background_upload(how)?,
            strict: self.flag(how.volume.strict, "LARDER_STRICT", file.strict)?,
            instead_of: None,
            docker_folder: self.docker_folder(),
            path: search_path(),
            engine_environment: larder_engine::child_environment(std::env::vars_os()),
        })
    }

    /// What is around a command that looks at builds. The tools that read files for it do not see the
    /// credentials of a store.
    fn around(&self, which: &Where, path: Vec<PathBuf>) -> larder_builds::Surroundings {
        let variables = self.environment.keys();
        larder_builds::Surroundings {
            withheld: variables
                .filter(|name| is_credential(name) || self.holds_key(which, name))
                .cloned()
                .collect(),
            path,
            environment: self.environment.clone(),
            folder: self.folder.clone(),
            named_project: self.named_project(which),
        }
    }

    fn project(
        &self,
        which: &Where,
        how: &How,
        state: Option<&str>,
        descent: Descent,
    ) -> Done<Project> {
        let chosen = self.text(&which.store, "LARDER_STORE", &self.file.store);
        let memory = self.own_folder(state, "images");
        let heads = self.own_folder(state, "heads");
        Ok(Project {
            store_is_chosen: chosen.is_some(),
            store: self.access(which, chosen)?.remembering(heads),
            descent,
            registries: self.registries(&how.planned.reach, memory)?,
            freshness: self.fresh(how)?,
        })
    }

    /// A directory for what needs no root: below the state directory if that was chosen, else in the user's
    /// cache.
    fn own_folder(&self, state: Option<&str>, name: &str) -> OwnFolder {
        self.own(match state {
            Some(state) => self.absolute(state).join(name),
            None => self.cache_folder().join(format!("larder-{name}")),
        })
    }

    /// A directory that is to be ours, or that of the user whose environment we have: under `sudo -E` the home
    /// and what is in it are not root's.
    fn own(&self, path: PathBuf) -> OwnFolder {
        OwnFolder::new(path, owner_of(self.home()))
    }

    fn volume_bytes(&self, how: &How) -> Done<u64> {
        let Some(text) = self.text(&how.volume.size, "LARDER_SIZE", &self.file.size) else {
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
        let keep = self.text(&how.volume.keep, "LARDER_KEEP", &self.file.keep);
        keep.map_or(Ok(volume_bytes / 3), |text| size::parse("--keep", &text))
    }

    fn prefetch(&self, how: &How) -> Done<Prefetch> {
        let typed = &how.volume.prefetch_budget;
        let budget = self.text(typed, "LARDER_PREFETCH_BUDGET", &self.file.prefetch_budget);
        let budget = budget
            .map(|text| size::parse("--prefetch-budget", &text))
            .transpose()?;
        let what = self.text(&how.volume.prefetch, "LARDER_PREFETCH", &self.file.prefetch);
        let words = [
            ("auto", Prefetch::Auto(budget)),
            ("hot", Prefetch::Hot),
            ("all", Prefetch::All(budget)),
            ("off", Prefetch::Off),
        ];
        word("--prefetch", what.as_deref(), &words)
    }

    fn retry_empty(&self, verb: &Run) -> Done<RetryEmpty> {
        let typed = &verb.retry_empty;
        let when = self.text(typed, "LARDER_RETRY_EMPTY", &self.file.retry_empty);
        let words = [
            ("auto", RetryEmpty::Auto),
            ("always", RetryEmpty::Always),
            ("never", RetryEmpty::Never),
        ];
        word("--retry-empty", when.as_deref(), &words)
    }

    fn background_upload(&self, how: &How) -> Done<Option<bool>> {
        let typed = &how.volume.background_upload;
        let when = self.text(
            typed,
            "LARDER_BACKGROUND_UPLOAD",
            &self.file.background_upload,
        );
        let words = [("auto", None), ("on", Some(true)), ("off", Some(false))];
        word("--background-upload", when.as_deref(), &words)
    }

    /// The user's cache folder (XDG Base Directory Specification).
    fn cache_folder(&self) -> PathBuf {
        let named = self.environment.get("XDG_CACHE_HOME");
        match named.filter(|path| path.starts_with('/')) {
            Some(cache) => PathBuf::from(cache),
            None => self.home().join(".cache"),
        }
    }

    fn home(&self) -> &Path {
        Path::new(self.environment.get("HOME").map_or("/root", String::as_str))
    }

    fn absolute(&self, path: &str) -> PathBuf {
        self.folder.join(path).components().collect()
    }
}

fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
