//! Where a job's commands find the engine, or podman's storage. That is more than one variable: a template of the
//! CI system may have set others for one that is not ours.

use std::fmt::Write as _;

use larder_docker::OF_ANOTHER_ENGINE;
use larder_podman::{OF_ANOTHER_STORAGE, VARIABLE};
use larder_session::facts::{Engine, Job, Podman};
use tokio::process::Command;

/// Pins the version of the API. It may be there for the sake of an old client, and stays where our engine
/// speaks that version.
const API_VERSION: &str = "DOCKER_API_VERSION";

/// Names a docker command's engine.
const ENGINE: &str = "DOCKER_HOST";

/// The variable that says where it is, and which ones say otherwise.
#[derive(Debug)]
pub(crate) struct Address {
    name: &'static str,
    value: String,
    foreign: Vec<&'static str>,
}

impl Address {
    /// The address of a session's engine for commands whose environment has this `DOCKER_API_VERSION`, or an
    /// unknown one; that of podman's storage. Directories have none.
    pub(crate) fn of(job: &Job, api_version: Option<&str>) -> Option<Self> {
        let engine = job.engine.as_ref();
        let engine = engine.map(|engine| Self::of_engine(engine, api_version));
        engine.or_else(|| job.podman.as_ref().map(Self::of_podman))
    }

    fn of_engine(engine: &Engine, api_version: Option<&str>) -> Self {
        let is_known = api_version.is_some_and(|version| engine.facts.speaks(version));
        let version = (!is_known).then_some(API_VERSION);
        Self {
            name: ENGINE,
            value: format!("unix://{}", engine.socket.display()),
            foreign: OF_ANOTHER_ENGINE.into_iter().chain(version).collect(),
        }
    }

    fn of_podman(podman: &Podman) -> Self {
        Self {
            name: VARIABLE,
            value: podman.storage_conf.display().to_string(),
            foreign: OF_ANOTHER_STORAGE.into(),
        }
    }

    /// As a line says it.
    pub(crate) fn line(&self) -> String {
        format!("{}={}", self.name, self.value)
    }

    /// Gives it to a command.
    pub(crate) fn give(&self, command: &mut Command) {
        command.env(self.name, &self.value);
        for name in &self.foreign {
            command.env_remove(name);
        }
    }

    /// Lines for a shell.
    pub(crate) fn for_a_shell(&self) -> String {
        format!("export {}\nunset {}", self.line(), self.foreign.join(" "))
    }

    /// Lines of a file with variables. Such a file can unset nothing; to docker and to the libraries of its
    /// API an empty variable is none.
    pub(crate) fn for_a_file(&self) -> String {
        let mut lines = format!("{}\n", self.line());
        for name in &self.foreign {
            writeln!(lines, "{name}=").expect("writing to a string");
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_and_a_file_forget_the_other_engine() {
        let address = Address {
            name: ENGINE,
            value: "unix:///s".to_owned(),
            foreign: vec!["DOCKER_CERT_PATH", "DOCKER_TLS"],
        };
        let shell = "export DOCKER_HOST=unix:///s\nunset DOCKER_CERT_PATH DOCKER_TLS";
        assert_eq!(address.for_a_shell(), shell);
        let file = "DOCKER_HOST=unix:///s\nDOCKER_CERT_PATH=\nDOCKER_TLS=\n";
        assert_eq!(address.for_a_file(), file);
    }
}
