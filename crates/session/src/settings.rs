//! What a session is asked for.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use larder_bases::Project;
use larder_builds::Request;
use larder_docker::ImageStore;
use larder_engine::Asked;
use larder_engine::program::EngineProgram;
use larder_local::own::OwnFolder;
use larder_volume::Prefetch;
use serde::{Deserialize, Serialize};

use crate::lost::Lost;

/// The first version of Docker whose fresh installations use the containerd store.
const CONTAINERD_STORE_DEFAULT_MAJOR: u32 = 29;

/// Who lives on a session's volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tenant {
    /// A Docker engine of ours.
    #[default]
    Engine,
    /// A `buildkitd` of ours, and no engine.
    Builder,
    /// The storage of podman and buildah, for root.
    Podman,
    /// The same for an ordinary user, by number.
    UsersPodman(u32),
    /// Directories of this machine, by absolute paths whose last parts differ.
    Folders(Vec<PathBuf>),
}

impl Tenant {
    /// The directories; none for an engine or a builder.
    pub fn folders(&self) -> &[PathBuf] {
        match self {
            Self::Engine | Self::Builder | Self::Podman | Self::UsersPodman(_) => &[],
            Self::Folders(folders) => folders,
        }
    }

    /// The ordinary user whose podman's storage it is.
    pub fn podman_user(&self) -> Option<u32> {
        match self {
            Self::UsersPodman(user) => Some(*user),
            Self::Engine | Self::Builder | Self::Podman | Self::Folders(_) => None,
        }
    }
}

/// What a session is asked for, decided once by the command that starts it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The project, with its store and its lineages.
    pub project: Project,
    /// The state directory.
    pub state: OwnFolder,
    /// Who lives on the volume.
    pub tenant: Tenant,
    /// Whether an engine has a `buildkitd` beside it.
    pub builder: bool,
    /// Who uses what root makes for the session, a directory or settings of buildx, if that is somebody else: a user
    /// and a group.
    pub person: Option<(u32, u32)>,
    /// How the engine stands beside the machine's own.
    pub engine: Asked,
    /// The image store, if it was chosen.
    pub image_store: Option<ImageStore>,
    /// Size of a new volume.
    pub volume_bytes: u64,
    /// What to keep at most of images, build cache and all else on the volume. Directories that hold more are
    /// not restored: nobody can tell what of them is needed.
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
    /// Where the docker command has its settings, and plugins.
    pub docker_folder: Option<PathBuf>,
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
    /// The programs of an engine that is asked for, once they were looked at ([`check`](Self::check)).
    pub program: Option<EngineProgram>,
}

/// What a command wants a session for. A job never works in the session of another line or store: what
/// the other's job left in it would become its own, and be saved as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The project.
    pub project: String,
    /// The job.
    pub job: String,
    /// The scope.
    pub scope: String,
    /// The store's URL, without secrets.
    pub store: String,
    /// The image store, if one was chosen.
    pub image_store: Option<ImageStore>,
    /// Who lives on the volume.
    #[serde(default)]
    pub tenant: Tenant,
    /// Whether an engine has a `buildkitd` beside it.
    #[serde(default)]
    pub builder: bool,
}

impl Wanted {
    /// Whether it is wanted for podman.
    pub(crate) fn is_of_podman(&self) -> bool {
        matches!(self.tenant, Tenant::Podman | Tenant::UsersPodman(_))
    }

    /// Whether a session for this can be one for the other.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.tenant == other.tenant && self.is_of_line(other)
    }

    /// Whether a session for this is the one that a `down` means. It need not be told whose podman `up` was to start.
    pub(crate) fn is_meant_by(&self, down: &Self) -> bool {
        let are_podmans = self.is_of_podman() && down.is_of_podman();
        (are_podmans || self.tenant == down.tenant) && self.is_of_line(down)
    }

    /// Who chose no image store takes any, and a builder is in nobody's way.
    fn is_of_line(&self, other: &Self) -> bool {
        let both = self.image_store.zip(other.image_store);
        self.project == other.project
            && self.job == other.job
            && self.scope == other.scope
            && self.store == other.store
            && (self.builder || !other.builder)
            && both.is_none_or(|(one, other)| one == other)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            project,
            job,
            scope,
            store,
            ..
        } = self;
        write!(f, "{project} / {job} @ {scope} in {store}")
    }
}

impl Settings {
    /// What to fetch before it is asked for. A store on this machine answers a miss as fast as it can be
    /// read ahead, so nothing is that nobody may need.
    pub(crate) fn prefetch(&self, store_is_near: bool) -> Prefetch {
        match self.prefetch {
            Prefetch::Auto(_) if store_is_near => Prefetch::Hot,
            chosen => chosen,
        }
    }

    /// Whether to store what the job has written while it runs. Next door a save is over so soon that this
    /// would only take from the job's processor.
    pub(crate) fn stores_early(&self, store_is_near: bool) -> bool {
        self.background_upload.unwrap_or(!store_is_near)
    }

    /// What a session with these settings is for.
    pub fn wanted(&self) -> Wanted {
        let descent = &self.project.descent;
        Wanted {
            project: descent.project.clone(),
            job: descent.job.clone(),
            scope: descent.scope.to_string(),
            store: self.project.store.to_string(),
            image_store: self.image_store,
            tenant: self.tenant.clone(),
            builder: self.builder,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_for_one_line_in_one_store() {
        let main = Wanted {
            project: "shop".to_owned(),
            job: "image".to_owned(),
            scope: "main".to_owned(),
            store: "s3://cache".to_owned(),
            image_store: Some(ImageStore::Overlay2),
            tenant: Tenant::Engine,
            builder: false,
        };
        let (mut pull, mut elsewhere) = (main.clone(), main.clone());
        let (mut folder, mut podman, mut users) = (main.clone(), main.clone(), main.clone());
        folder.tenant = Tenant::Folders(vec!["/target".into()]);
        podman.tenant = Tenant::Podman;
        users.tenant = Tenant::UsersPodman(1001);
        "pull/9".clone_into(&mut pull.scope);
        "s3://other".clone_into(&mut elsewhere.store);
        let (mut any, mut containerd) = (main.clone(), main.clone());
        any.image_store = None;
        containerd.image_store = Some(ImageStore::Containerd);
        let others = [
            &main,
            &any,
            &pull,
            &elsewhere,
            &containerd,
            &folder,
            &podman,
        ];
        let agree = others.map(|it| main.agrees_with(it));
        assert_eq!(agree, [true, true, false, false, false, false, false]);
        let (mut with, mut alone) = (main.clone(), main.clone());
        with.builder = true;
        alone.tenant = Tenant::Builder;
        assert!(with.agrees_with(&main) && !main.agrees_with(&with));
        assert!(!alone.agrees_with(&main) && !main.agrees_with(&alone));
        assert!(!users.agrees_with(&podman) && users.agrees_with(&users.clone()));
    }
}
