//! Where a job's commands find the engine, the builder, or podman's storage. That is more than one variable: a template
//! of the CI system may have set others for one that is not ours.

use std::fmt::Write as _;
use std::path::Path;

use larder_docker::OF_ANOTHER_ENGINE;
use larder_podman::{OF_ANOTHER_STORAGE, VARIABLE};
use larder_session::facts::{Builder, Engine, Job, Podman};
use tokio::process::Command;

/// Pins the version of the API. It may be there for the sake of an old client, and stays where our engine
/// speaks that version.
const API_VERSION: &str = "DOCKER_API_VERSION";
/// Names another builder than the one that is selected.
const OTHER_BUILDER: &str = "BUILDX_BUILDER";

/// The variables that say where they are, and which ones say otherwise.
#[derive(Debug, Default)]
pub(crate) struct Address {
    set: Vec<(&'static str, String)>,
    foreign: Vec<&'static str>,
}

impl Address {
    /// The address of a job's session for commands whose environment has this `DOCKER_API_VERSION`, or an
    /// unknown one. Directories have none.
    pub(crate) fn of(job: &Job, api_version: Option<&str>) -> Self {
        let mut address = Self::default();
        if let Some(engine) = &job.engine {
            address.add_engine(engine, api_version);
        }
        if let Some(builder) = &job.builder {
            address.add_builder(builder);
        }
        if let Some(podman) = &job.podman {
            address.add_podman(podman);
        }
        address
    }

    fn add_engine(&mut self, engine: &Engine, api_version: Option<&str>) {
        let is_known = api_version.is_some_and(|version| engine.facts.speaks(version));
        let version = (!is_known).then_some(API_VERSION);
        self.set.push(("DOCKER_HOST", unix(&engine.socket)));
        self.foreign
            .extend(OF_ANOTHER_ENGINE.into_iter().chain(version));
    }

    fn add_podman(&mut self, podman: &Podman) {
        let file = podman.storage_conf.display().to_string();
        self.set.push((VARIABLE, file));
        self.foreign.extend(OF_ANOTHER_STORAGE);
    }

    fn add_builder(&mut self, builder: &Builder) {
        self.set.push(("BUILDKIT_HOST", unix(&builder.socket)));
        if let Some(folder) = &builder.buildx {
            let folder = folder.display().to_string();
            self.set.push(("BUILDX_CONFIG", folder));
            self.foreign.push(OTHER_BUILDER);
        }
    }

    /// Gives it to a command.
    pub(crate) fn give(&self, command: &mut Command) {
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        for name in &self.foreign {
            command.env_remove(name);
        }
    }

    /// Lines for a shell.
    pub(crate) fn for_a_shell(&self) -> String {
        let set = self.set.iter();
        let mut lines: Vec<String> = set
            .map(|(name, value)| format!("export {name}={value}"))
            .collect();
        if !self.foreign.is_empty() {
            lines.push(format!("unset {}", self.foreign.join(" ")));
        }
        lines.join("\n")
    }

    /// Lines of a file with variables. Such a file can unset nothing; to docker and to the libraries of its
    /// API an empty variable is none.
    pub(crate) fn for_a_file(&self) -> String {
        let mut lines = String::new();
        let foreign = self.foreign.iter().map(|name| (name, ""));
        let set = self.set.iter();
        for (name, value) in set.map(|(name, value)| (name, &**value)).chain(foreign) {
            writeln!(lines, "{name}={value}").expect("writing to a string");
        }
        lines
    }
}

fn unix(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_and_a_file_forget_the_other_engine() {
        let mut address = Address {
            set: vec![("DOCKER_HOST", "unix:///s".to_owned())],
            foreign: vec!["DOCKER_CERT_PATH", "DOCKER_TLS"],
        };
        let shell = "export DOCKER_HOST=unix:///s\nunset DOCKER_CERT_PATH DOCKER_TLS";
        assert_eq!(address.for_a_shell(), shell);
        let file = "DOCKER_HOST=unix:///s\nDOCKER_CERT_PATH=\nDOCKER_TLS=\n";
        assert_eq!(address.for_a_file(), file);
        address.add_builder(&Builder {
            version: "0.13.2".to_owned(),
            socket: "/b".into(),
            buildx: Some("/x".into()),
        });
        let file = "DOCKER_HOST=unix:///s\nBUILDKIT_HOST=unix:///b\nBUILDX_CONFIG=/x\n\
            DOCKER_CERT_PATH=\nDOCKER_TLS=\nBUILDX_BUILDER=\n";
        assert_eq!(address.for_a_file(), file);
        let mut alone = Address::default();
        assert_eq!(alone.for_a_shell(), "");
        alone.add_builder(&Builder {
            version: "0.13.2".to_owned(),
            socket: "/b".into(),
            buildx: None,
        });
        assert_eq!(alone.for_a_shell(), "export BUILDKIT_HOST=unix:///b");
    }
}
