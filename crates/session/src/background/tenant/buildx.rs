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

/// Makes them for a builder that listens, or will, on a socket. They belong to `person`, who is to use them; root may
/// in any case.
pub(super) fn make(
    folder: &Path,
    socket: &Path,
    path: &[PathBuf],
    person: Option<(u32, u32)>,
) -> Result<(), NotMade> {
    let docker = programs::find("docker", path).ok_or(NotMade::NoDocker)?;
    make_anew(folder).map_err(NotMade::Io)?;
    let endpoint = format!("unix://{}", socket.display());
    let create = ["create", "--name", NAME, "--driver", "remote", &endpoint];
    buildx(&docker, folder, &create)?;
    // For whatever engine the docker command has then: the selection is kept for each.
    buildx(&docker, folder, &["use", "--global", NAME])?;
    match person {
        Some(person) => give(folder, ROOT, person).map_err(NotMade::Io),
        None => Ok(()),
    }
}

/// A start that failed may have left some.
fn make_anew(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(folder)
}

fn buildx(docker: &Path, folder: &Path, arguments: &[&str]) -> Result<(), NotMade> {
    let mut command = Command::new(docker);
    command
        .arg("buildx")
        .args(arguments)
        .env("BUILDX_CONFIG", folder)
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
