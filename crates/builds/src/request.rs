//! What somebody wants to know the builds of.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use larder_model::dockerfile::ImageConfigs;
use serde::{Deserialize, Serialize};

use crate::draft::Draft;
use crate::fault::Fault;
use crate::files::FILE_MAX_BYTES;
use crate::{extras, locate};

/// The name of standard input, as docker has it.
pub const STDIN: &str = "-";

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

/// A build as `docker build`, `docker compose build` or `docker buildx bake` would be asked for it.
/// Build arguments may be secrets: only the names of files are shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct Build {
    /// The folder of the build, or `-` for standard input.
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
    /// Files that the build depends on beside those: paths, folders or patterns below the context.
    pub extras: Vec<String>,
}

impl Default for Build {
    /// The build of the current folder.
    fn default() -> Self {
        Self {
            context: PathBuf::from("."),
            files: Vec::new(),
            input: None,
            only: Vec::new(),
            profiles: Vec::new(),
            env_files: Vec::new(),
            overrides: Vec::new(),
            target: None,
            platforms: Vec::new(),
            build_args: Vec::new(),
            build_contexts: Vec::new(),
            extras: Vec::new(),
        }
    }
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Build");
        shown.field("context", &self.context);
        shown.field("files", &self.files).finish_non_exhaustive()
    }
}

impl Build {
    /// The build of a folder, or of a file with the current folder as its context.
    fn of_path(path: &Path, around: &Surroundings) -> Self {
        if around.folder.join(path).is_dir() {
            Self {
                context: path.to_owned(),
                ..Self::default()
            }
        } else {
            Self {
                files: vec![path.to_owned()],
                ..Self::default()
            }
        }
    }

    /// Whether it needs what comes on standard input.
    pub fn reads_input(&self) -> bool {
        let stdin = Path::new(STDIN);
        self.files.iter().any(|file| file == stdin)
            || (self.files.is_empty() && self.context == stdin)
    }

    /// Whether an option is used that only compose or bake files have.
    pub(crate) fn is_described(&self) -> bool {
        !(self.only.is_empty()
            && self.profiles.is_empty()
            && self.env_files.is_empty()
            && self.overrides.is_empty())
    }

    /// The images that it makes. Tools are asked, and waited for.
    pub fn drafts(&self, around: &Surroundings) -> Result<Vec<Draft>, Fault> {
        let mut drafts = locate::drafts(self, around)?;
        if !self.extras.is_empty() {
            let stdin = self.context == Path::new(STDIN);
            let context = if stdin { Path::new("") } else { &self.context };
            let extras = extras::fingerprints(&around.folder.join(context), &self.extras)?;
            for draft in &mut drafts {
                draft.extras.clone_from(&extras);
            }
        }
        Ok(drafts)
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

/// What a request came to.
#[derive(Debug, Default)]
pub struct Drafted {
    /// The builds that are known.
    pub drafts: Vec<Draft>,
    /// Why others are not.
    pub faults: Vec<Fault>,
}

impl Request {
    /// The builds of the files and folders that were named, or of the current folder if it has a
    /// file that is planned without being named. Nothing is read yet but the folder's list.
    pub fn new(paths: &[PathBuf], around: Surroundings) -> Self {
        let builds = if paths.is_empty() {
            let usual = locate::has_usual_file(&around, Path::new(""));
            usual.then(Build::default).into_iter().collect()
        } else {
            paths
                .iter()
                .map(|path| Build::of_path(path, &around))
                .collect()
        };
        Self { builds, around }
    }

    /// The images that the job makes. What cannot be planned is told: the job may build something
    /// else. Tools are asked, and waited for.
    pub fn drafts(&self) -> Drafted {
        let mut all = Drafted::default();
        for build in &self.builds {
            let drafted = build.drafts(&self.around).and_then(|drafts| {
                crate::plans(&drafts, &ImageConfigs::new())?;
                Ok(drafts)
            });
            match drafted {
                Ok(drafts) => all.drafts.extend(drafts),
                Err(fault) => all.faults.push(fault),
            }
        }
        all
    }
}

/// Reads what comes on standard input, as far as a Dockerfile is long.
pub fn read_input(input: impl Read) -> Result<Vec<u8>, Fault> {
    let refuse = |why: String| Fault::file(Path::new(STDIN), why);
    let mut text = Vec::new();
    input
        .take(FILE_MAX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|error| refuse(format!("standard input cannot be read: {error}")))?;
    // Half a Dockerfile is another one.
    if text.len() as u64 > FILE_MAX_BYTES {
        let why = format!("standard input has more than the {FILE_MAX_BYTES} bytes that are read");
        return Err(refuse(why));
    }
    Ok(text)
}
