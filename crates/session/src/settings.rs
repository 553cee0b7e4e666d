//! What a session is asked for.

use std::ffi::OsString;
use std::path::PathBuf;

use larder_bases::Project;
use larder_builds::Request;
use larder_docker::ImageStore;
use larder_engine::Asked;
use larder_engine::program::EngineProgram;
use larder_volume::Prefetch;
use serde::{Deserialize, Serialize};

use crate::facts::Lost;

/// The first version of Docker whose fresh installations use the containerd store.
const CONTAINERD_STORE_DEFAULT_MAJOR: u32 = 29;

/// What a session is asked for, decided once by the command that starts it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The project, with its store and its lineages.
    pub project: Project,
    /// The state directory.
    pub state: PathBuf,
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
    /// What to fetch before it is asked for.
    pub prefetch: Prefetch,
    /// Whether to store what the job has written while it runs; decided by the store if it was not chosen.
    pub background_upload: Option<bool>,
    /// Whether warnings are failures.
    pub strict: bool,
    /// Why the disk of the session failed in whose place this one comes. It starts empty then.
    pub instead_of: Option<Lost>,
    /// Folders to look for programs in.
    pub path: Vec<PathBuf>,
    /// The environment of the engine's processes. Secrets may be in it.
    pub engine_environment: Vec<(OsString, OsString)>,
}

/// What the background process is given, on its standard input, where no process list shows the
/// secrets in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobRequest {
    /// The settings.
    pub settings: Settings,
    /// The builds that the job will run. They are planned while the engine starts.
    pub builds: Request,
}

impl Settings {
    /// What to fetch before it is asked for. A store on this machine answers a miss as fast as it can be
    /// read ahead, so nothing is that nobody may need.
    pub(crate) fn prefetch(&self) -> Prefetch {
        match self.prefetch {
            Prefetch::Auto(_) if self.store_is_near() => Prefetch::Hot,
            chosen => chosen,
        }
    }

    /// Whether to store what the job has written while it runs. Next door a save is over so soon that this
    /// would only take from the job's processor.
    pub(crate) fn stores_early(&self) -> bool {
        self.background_upload.unwrap_or(!self.store_is_near())
    }

    fn store_is_near(&self) -> bool {
        self.project.store.location().as_folder().is_some()
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
}
