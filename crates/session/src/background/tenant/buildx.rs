//! Settings of buildx in which the session's builder is there and selected.
//!
//! They are a directory of the session, which `BUILDX_CONFIG` names: the user's own stay as they are, jobs that run at
//! the same time have each their own, and nothing is to be put back after a crash. buildx makes them, because the files
//! are its own.
//!
//! The builder is selected, and no variable names it (`BUILDX_BUILDER`). So it is what `docker/setup-buildx-action`
//! leaves: `docker buildx build`, `docker buildx bake` and `docker compose build` go to it, `docker build` to the engine.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder_docker::OF_ANOTHER_ENGINE;
use larder_local::child::{Limits, NoAnswer, ask};
use larder_local::programs;

use super::folders::give;

/// What it is called.
const NAME: &str = "larder";
/// Root's user and group.
const ROOT: (u32, u32) = (0, 0);

/// Why buildx does not know it.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMade {
    #[error("there is no docker command on this machine")]
    NoDocker,
    #[error("`docker buildx`: {0}")]
    NoAnswer(#[source] NoAnswer),
    #[error("`docker buildx {0}` failed: {1}")]
    Refused(String, String),
    #[error("its settings cannot be made: {0}")]
    Io(#[source] io::Error),
}

/// What they are made with.
pub(super) struct Buildx {
    /// Where they are.
    pub folder: PathBuf,
    /// Where the user's plugins of the docker command are.
    pub docker_folder: Option<PathBuf>,
    /// Where programs are looked for.
    pub path: Vec<PathBuf>,
}

impl Buildx {
    /// Makes them for a builder that listens, or will, on a socket. They belong to `person`, who is to use them; root
    /// may in any case.
    pub(super) fn make(&self, socket: &Path, person: Option<(u32, u32)>) -> Result<(), NotMade> {
        let docker = programs::find("docker", &self.path).ok_or(NotMade::NoDocker)?;
        self.make_folder().map_err(NotMade::Io)?;
        let endpoint = format!("unix://{}", socket.display());
        let create = ["create", "--name", NAME, "--driver", "remote", &endpoint];
        self.run(&docker, &create)?;
        // For whatever engine the docker command has then: the selection is kept for each.
        self.run(&docker, &["use", "--global", NAME])?;
        match person {
            Some(person) => give(&self.folder, ROOT, person).map_err(NotMade::Io),
            None => Ok(()),
        }
    }

    /// A start that failed may have left some. buildx makes no builder that is called like a context, and ours of the
    /// user's docker command is; so it sees no settings of docker but these, which say where plugins are (docker/cli
    /// `cli/config/configfile/file.go`, `CLIPluginsExtraDirs`).
    fn make_folder(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&self.folder)?;
        let plugins = self.docker_folder.iter();
        let plugins: Vec<PathBuf> = plugins.map(|folder| folder.join("cli-plugins")).collect();
        let config = serde_json::json!({ "cliPluginsExtraDirs": plugins });
        fs::write(self.folder.join("config.json"), config.to_string())
    }

    fn run(&self, docker: &Path, arguments: &[&str]) -> Result<(), NotMade> {
        let mut command = Command::new(docker);
        command
            .arg("buildx")
            .args(arguments)
            .env("BUILDX_CONFIG", &self.folder)
            .env("DOCKER_CONFIG", &self.folder)
            .env_remove("BUILDX_BUILDER")
            .env_remove("DOCKER_HOST");
        for name in OF_ANOTHER_ENGINE {
            command.env_remove(name);
        }
        let output = ask(&mut command, "", Limits::QUICK).map_err(NotMade::NoAnswer)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(NotMade::Refused(arguments[0].to_owned(), said))
    }
}
