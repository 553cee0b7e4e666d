//! The engine's address, as a job's commands are given it. That is more than one variable: a template of the
//! CI system may have set others for an engine that is not ours.

use std::fmt::Write as _;

use larder_docker::OF_ANOTHER_ENGINE;
use larder_session::facts::Engine;
use tokio::process::Command;

/// Pins the version of the API. It may be there for the sake of an old client, and stays where our engine
/// speaks that version.
const API_VERSION: &str = "DOCKER_API_VERSION";

/// Where an engine is, and which variables say otherwise.
#[derive(Debug)]
pub(crate) struct Address {
    host: String,
    foreign: Vec<&'static str>,
}

impl Address {
    /// The address of a session's engine for commands whose environment has this `DOCKER_API_VERSION`, or an
    /// unknown one.
    pub(crate) fn of(engine: &Engine, api_version: Option<&str>) -> Self {
        let is_known = api_version.is_some_and(|version| engine.facts.speaks(version));
        let version = (!is_known).then_some(API_VERSION);
        Self {
            host: format!("unix://{}", engine.socket.display()),
            foreign: OF_ANOTHER_ENGINE.into_iter().chain(version).collect(),
        }
    }

    /// Gives it to a command.
    pub(crate) fn give(&self, command: &mut Command) {
        command.env("DOCKER_HOST", &self.host);
        for name in &self.foreign {
            command.env_remove(name);
        }
    }

    /// Lines for a shell.
    pub(crate) fn for_a_shell(&self) -> String {
        format!(
            "export DOCKER_HOST={}\nunset {}",
            self.host,
            self.foreign.join(" ")
        )
    }

    /// Lines of a file with variables. Such a file can unset nothing; to docker and to the libraries of its
    /// API an empty variable is none.
    pub(crate) fn for_a_file(&self) -> String {
        let mut lines = format!("DOCKER_HOST={}\n", self.host);
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
            host: "unix:///s".to_owned(),
            foreign: vec!["DOCKER_CERT_PATH", "DOCKER_TLS"],
        };
        let shell = "export DOCKER_HOST=unix:///s\nunset DOCKER_CERT_PATH DOCKER_TLS";
        assert_eq!(address.for_a_shell(), shell);
        let file = "DOCKER_HOST=unix:///s\nDOCKER_CERT_PATH=\nDOCKER_TLS=\n";
        assert_eq!(address.for_a_file(), file);
    }
}
