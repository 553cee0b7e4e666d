//! Where a session's files are.
//!
//! The state directory has a lock, the record of a running session, the report of the last one, and the sparse
//! file of its volume. Sockets,
//! logs and mount points are in a directory below /run, because unix sockets need short paths. Its name is
//! a hash of the state directory's path.

use std::borrow::Cow;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use larder_engine::InstanceId;
use larder_local::files;
use larder_local::own::{NotOurs, OwnFolder};
use larder_volume::VolumeOptions;

use crate::facts::Job;
use crate::settings::{Tenant, Wanted};
use crate::{Result, SessionError};

/// The sessions of this machine.
pub(crate) const RUN: &str = "/run/larder";
/// Below a state directory: those of sessions for something else that run beside its own.
const BESIDE: &str = "beside";
/// Where the volume is mounted inside the session's mount namespace. It is the same on every machine,
/// because engines write absolute paths into their state.
pub(crate) const MOUNT: &str = "/var/lib/larder/volume";

/// A longer report is none.
const REPORT_MAX_BYTES: u64 = 16 << 20;

/// The paths of the session that belongs to one state directory.
#[derive(Debug, Clone)]
pub struct Place {
    pub(crate) state: OwnFolder,
    /// Names the session on this machine.
    pub(crate) id: InstanceId,
}

impl Place {
    /// The session of a state directory, which is ours if it is there.
    pub fn of(state: &OwnFolder) -> Result<Self> {
        match state.existing() {
            // Who is not root cannot even look, and so believes nothing.
            Err(NotOurs::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {}
            looked => drop(looked.map_err(not_ours)?),
        }
        Ok(Self::at(state.clone()))
    }

    fn at(state: OwnFolder) -> Self {
        let digest = blake3::hash(state.named().as_os_str().as_encoded_bytes()).to_hex();
        let id = digest[..InstanceId::MAX_BYTES].parse();
        Self {
            state,
            id: id.expect("hexadecimal digits are allowed in an instance id"),
        }
    }

    /// The place of a session for something else than what the session here is for.
    #[must_use]
    pub fn beside(&self, wanted: &Wanted) -> Self {
        let Wanted {
            project,
            job,
            scope,
            store,
            tenant,
            ..
        } = wanted;
        let folders = tenant.folders().iter();
        let folders = folders.map(|folder| folder.to_string_lossy());
        // A directory's path is absolute.
        let kind = match tenant {
            Tenant::Podman => Some("podman".to_owned()),
            Tenant::UsersPodman(user) => Some(format!("podman of {user}")),
            Tenant::Builder => Some("buildkit".to_owned()),
            Tenant::Engine | Tenant::Folders(_) => None,
        };
        let tenants = folders.chain(kind.map(Cow::from));
        let line = [project, job, scope, store].map(|name| Cow::from(name.as_str()));
        let name = serde_json::to_vec(&line.into_iter().chain(tenants).collect::<Vec<Cow<str>>>());
        let digest = blake3::hash(&name.expect("texts have a JSON form")).to_hex();
        self.within(&digest[..InstanceId::MAX_BYTES])
    }

    /// All places beside this one where there is or was a session. What is there is removed with all that is in it, so
    /// it must be of our making: no link leads there, and nothing has another kind of name.
    pub fn all_beside(&self) -> Vec<Self> {
        let beside = self.state().join(BESIDE);
        let is_ours = is_folder(&beside) && self.state.at(beside.clone()).existing().is_ok();
        let entries = fs::read_dir(beside).ok().filter(|_| is_ours);
        let entries = entries.into_iter().flatten().flatten();
        let names = entries.filter(|entry| is_folder(&entry.path()));
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|name| is_place(name))
            .map(|name| self.within(&name))
            .collect()
    }

    /// A place beside this one. Its state directory is in ours, where nobody else makes one.
    fn within(&self, name: &str) -> Self {
        Self::at(self.state.at(self.state().join(BESIDE).join(name)))
    }

    /// The place of another state directory of this machine, which is to be as safe as ours.
    pub(crate) fn elsewhere(&self, state: PathBuf) -> Result<Self> {
        Self::of(&self.state.at(state))
    }

    /// Makes the directories under /run, for who has the state directory's lock. Root alone may look into them.
    pub(crate) fn create_run(&self) -> Result<()> {
        // Others may pass to the engine's socket, whose own mode says who may use it. /run is empty
        // after a boot, so the parent is as new as the directory in it.
        for folder in [Path::new(RUN), &self.run()] {
            let own = OwnFolder::new(folder.to_owned(), None);
            own.make().map_err(not_ours)?;
            fs::set_permissions(folder, Permissions::from_mode(0o711))
                .map_err(SessionError::path("open", folder))?;
        }
        Ok(())
    }

    /// Makes the state directory. Root alone may look into it.
    pub(crate) fn make_state(&self) -> Result<()> {
        self.state.make().map_err(not_ours)?;
        Ok(())
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &Path {
        self.state.named()
    }

    /// Whether the state directory is there.
    pub fn exists(&self) -> bool {
        self.state().exists()
    }

    /// The folder under /run.
    pub(crate) fn run(&self) -> PathBuf {
        Path::new(RUN).join(self.id.as_str())
    }

    /// Where the background process listens.
    pub(crate) fn control(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// The engine's socket.
    pub fn docker_socket(&self) -> PathBuf {
        self.run().join("docker.sock")
    }

    /// The settings of buildx that know the builder.
    pub(crate) fn buildx(&self) -> PathBuf {
        self.run().join("buildx")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.run().join("larder.log")
    }

    /// Held by the background process while it lives.
    pub(crate) fn lock(&self) -> PathBuf {
        self.state().join("lock")
    }

    /// What has to be cleared if the background process dies.
    pub(crate) fn record(&self) -> PathBuf {
        self.state().join("session.json")
    }

    /// Keeps the report of a job that has ended, in place of the last one's: for `larder report`.
    pub fn keep_report(&self, job: &Job) -> io::Result<()> {
        let text = serde_json::to_vec(job)?;
        files::write_private(&self.last(), &text)
    }

    /// The report of the last job that ended here, if there was one and we may read it.
    pub fn last_report(&self) -> Option<Job> {
        let file = files::open_private(&self.last()).ok()?;
        serde_json::from_reader(file.take(REPORT_MAX_BYTES)).ok()
    }

    fn last(&self) -> PathBuf {
        self.state().join("last.json")
    }

    pub(crate) fn volume(&self) -> VolumeOptions {
        VolumeOptions {
            folder: self.state().join("volume"),
            fuse: self.run().join("fuse"),
            mount: PathBuf::from(MOUNT),
        }
    }
}

/// A directory, and no link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Whether a directory may have this name from [`Place::beside`].
fn is_place(name: &str) -> bool {
    name.len() == InstanceId::MAX_BYTES && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A directory that cannot be made is told as that: it may be on a disk that is full, or read-only.
fn not_ours(why: NotOurs) -> SessionError {
    match why {
        NotOurs::Io { path, source } => SessionError::StateFolder(path, source),
        other => SessionError::NotOurs(other),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const NAME: &str = "0123456789ab";

    fn beside(make: impl FnOnce(&Path)) -> usize {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let elsewhere = folder.path().join("elsewhere");
        for path in [&state, &elsewhere.join(NAME)] {
            fs::create_dir_all(path).expect("made");
        }
        make(&state.join(BESIDE));
        let place = Place::of(&OwnFolder::new(state, None)).expect("ours");
        place.all_beside().len()
    }

    #[test]
    fn only_what_a_session_made_is_beside_another() {
        let made = |path: &Path| fs::create_dir_all(path).expect("made");
        assert_eq!(beside(|_| ()), 0);
        assert_eq!(beside(|beside| made(&beside.join(NAME))), 1);
        assert_eq!(beside(|beside| made(&beside.join("home"))), 0);
        let elsewhere = |beside: &Path| beside.with_file_name("../elsewhere");
        assert_eq!(beside(|at| symlink(elsewhere(at), at).expect("made")), 0);
        let within = |at: &Path| {
            made(at);
            symlink(elsewhere(at).join(NAME), at.join(NAME)).expect("made");
        };
        assert_eq!(beside(within), 0);
    }
}
