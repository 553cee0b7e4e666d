//! What somebody wants to know the builds of.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::STDIN;

/// What is around a command that looks at builds. There are secrets in an environment: nothing of
/// it is shown.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Surroundings {
    /// The environment, for build arguments and for the tools that read files which refer to it.
    pub environment: BTreeMap<String, String>,
    /// The variables whose values the tools must not see: credentials of a store's cloud.
    pub withheld: Vec<String>,
    /// The current folder.
    pub folder: PathBuf,
    /// Folders to look for programs in.
    pub path: Vec<PathBuf>,
    /// The project, if somebody named it. A name that was guessed from the surroundings would make
    /// one build's key differ from machine to machine.
    pub named_project: Option<String>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Surroundings");
        shown.field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Surroundings {
    /// A variable; an empty one says nothing.
    pub(crate) fn variable(&self, name: &str) -> Option<&String> {
        self.environment.get(name).filter(|value| !value.is_empty())
    }
}

/// Options that a build's commands run with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunOptions {
    /// `--network`.
    pub network: Option<String>,
    /// `--add-host`, `NAME:ADDRESS` or `NAME=ADDRESS`.
    pub add_hosts: Vec<String>,
    /// `--ulimit`, `NAME=SOFT[:HARD]`.
    pub ulimits: Vec<String>,
    /// `--shm-size`.
    pub shm_size: Option<String>,
    /// `--cgroup-parent`.
    pub cgroup_parent: Option<String>,
}

/// A build as `docker build`, `docker compose build` or `docker buildx bake` would be asked for it.
/// Build arguments may be secrets: only the names of files are shown.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Build {
    /// The folder of the build, or `-` for standard input. An empty one is the current folder.
    pub context: PathBuf,
    /// A Dockerfile, or the compose and bake files that are read together; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// What came on standard input, if [`Build::reads_input`].
    pub input: Option<Vec<u8>>,
    /// Services of a compose file, targets or groups of a bake file; none means the default.
    pub only: Vec<String>,
    /// `--profile` of `docker compose`.
    pub profiles: Vec<String>,
    /// `--env-file` of `docker compose`.
    pub env_files: Vec<PathBuf>,
    /// `--set` of `docker buildx bake`.
    pub overrides: Vec<String>,
    /// The stage.
    pub target: Option<String>,
    /// `--platform`.
    pub platforms: Vec<String>,
    /// `--build-arg`, `NAME=VALUE` or `NAME`.
    pub build_args: Vec<String>,
    /// `--build-context`, `NAME=VALUE`.
    pub build_contexts: Vec<String>,
    /// What its commands run with.
    pub run: RunOptions,
    /// Files that the build depends on beside those: paths, folders or patterns below the context.
    pub extras: Vec<String>,
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Build");
        shown.field("context", &self.context);
        shown.field("files", &self.files).finish_non_exhaustive()
    }
}

impl Build {
    /// Whether it needs what comes on standard input.
    pub fn reads_input(&self) -> bool {
        let stdin = Path::new(STDIN);
        self.files.iter().any(|file| file == stdin)
            || (self.files.is_empty() && self.context == stdin)
    }
}

/// The builds that a job will run, as far as they can be told before it runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Request {
    /// Each by itself; none if there is nothing to plan.
    pub builds: Vec<Build>,
    /// What is around the job.
    pub around: Surroundings,
}
