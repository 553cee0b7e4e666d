//! What a session is asked for.

use std::ffi::OsString;
use std::path::PathBuf;

use larder_bases::Project;
use larder_builds::Request;
use larder_docker::ImageStore;
use larder_engine::Asked;
use larder_engine::program::EngineProgram;
use larder_local::own::OwnFolder;
use serde::{Deserialize, Serialize};

/// The first version of Docker whose fresh installations use the containerd store.
const CONTAINERD_STORE_DEFAULT_MAJOR: u32 = 29;

/// What a session is asked for, decided once by the command that starts it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The project, with its store and its lineages.
    pub project: Project,
    /// The state directory.
    pub state: OwnFolder,
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
