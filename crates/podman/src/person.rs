//! An ordinary user whose podman works in the storage.
//!
//! The user's podman has a user namespace of the user's (rootless), in which all of a storage's files belong to it. It
//! is run as that user, with nothing of root's environment.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder_engine::EngineError;
use larder_local::users::{Owners, User};

use crate::Result;

/// Where the user's programs have what is gone with a boot, if the machine has such directories.
const RUNTIME: &str = "/run/user";

/// A user, and whose the storage's files are for that user's podman.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The user.
    pub user: User,
    /// Whose the files are.
    pub owners: Owners,
}

impl Person {
    /// The user with this number, if that is nobody of this machine or has no numbers for a namespace, why.
    pub fn look(uid: u32) -> Result<Self> {
        let refused = |why: String| EngineError::NoRootless { uid, why };
        let user =
            User::find(&uid.to_string()).map_err(|error| refused(format!("getent: {error}")))?;
        let user = user.ok_or_else(|| refused("this machine has no such user".to_owned()))?;
        let owners = user.owners().map_err(|error| refused(error.to_string()))?;
        Ok(Self { user, owners })
    }

    /// Has a command be run by the user.
    pub(crate) fn runs(&self, command: &mut Command) {
        command
            .uid(self.user.uid)
            .gid(self.user.gid)
            .current_dir("/");
    }

    /// What a podman of the user's needs in its environment.
    pub(crate) fn environment(&self, path: OsString) -> Vec<(OsString, OsString)> {
        let mut variables = vec![
            ("PATH".into(), path),
            ("HOME".into(), self.user.home.clone().into()),
            ("USER".into(), self.user.name.clone().into()),
        ];
        let runtime = self.of_login();
        if runtime.is_dir() {
            variables.push(("XDG_RUNTIME_DIR".into(), runtime.into()));
        }
        variables
    }

    /// What is there once a podman of the user's has run since the machine was started.
    pub(crate) fn awake(&self) -> PathBuf {
        self.of_boot().join("alive")
    }

    /// Whether a process keeps the namespaces of the user's podman.
    pub(crate) fn keeps_namespaces(&self) -> bool {
        self.of_boot().join("pause.pid").exists()
    }

    /// What the user's podman has until the next boot (podman `pkg/util/utils_supported.go`, `GetRuntimeDir`).
    fn of_boot(&self) -> PathBuf {
        let login = self.of_login();
        let runtime = if login.is_dir() {
            login
        } else {
            format!("/tmp/podman-run-{}", self.user.uid).into()
        };
        runtime.join("libpod/tmp")
    }

    /// The directory of the database of the user's own podman.
    pub(crate) fn database(&self) -> PathBuf {
        self.user
            .home
            .join(".local/share/containers/storage/libpod")
    }

    fn of_login(&self) -> PathBuf {
        Path::new(RUNTIME).join(self.user.uid.to_string())
    }
}
