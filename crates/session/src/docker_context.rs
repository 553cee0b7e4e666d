//! The docker command line's context `larder`: made and selected while a session is up.
//!
//! The docker program does it, because the files are its own. Without that program no context is needed.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use larder_docker::OF_ANOTHER_ENGINE;

use crate::{Place, Result, SessionError};

const NAME: &str = "larder";
/// Remembers in the state directory which context was current before.
const BEFORE: &str = "context-before";

/// A context that is being made.
pub struct Creating<'a> {
    child: io::Result<Child>,
    folder: Option<&'a Path>,
}

/// The docker program, as whoever its files belong to: root's would be closed to the user whose `HOME`
/// sudo(8) has left as it was.
fn docker(arguments: &[&str], folder: Option<&Path>) -> Command {
    let mut command = Command::new("docker");
    // With DOCKER_HOST or DOCKER_CONTEXT set, docker refuses to change the current context.
    command
        .arg("context")
        .args(arguments)
        .env_remove("DOCKER_HOST")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for name in OF_ANOTHER_ENGINE {
        command.env_remove(name);
    }
    if let Some((user, group)) = folder.and_then(other_owner) {
        command.uid(user).gid(group);
    }
    command
}

/// Who owns a folder, or what it will be made in, if that is not root.
fn other_owner(folder: &Path) -> Option<(u32, u32)> {
    let mut found = folder.ancestors().filter_map(|path| path.metadata().ok());
    let owner = found.next()?;
    (owner.uid() != 0).then(|| (owner.uid(), owner.gid()))
}

fn current(folder: Option<&Path>) -> Option<String> {
    let output = docker(&["show"], folder)
        .stdout(Stdio::piped())
        .output()
        .ok()?;
    let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !name.is_empty()).then_some(name)
}

/// Begins to make the context in the docker command's folder. [`Creating::select`] waits for it.
pub fn create<'a>(place: &Place, folder: Option<&'a Path>) -> Creating<'a> {
    let before = current(folder);
    if let Some(before) = before.filter(|name| name != NAME) {
        // Losing this means that `down` selects the default context.
        let written = std::fs::create_dir_all(&place.state)
            .and_then(|()| std::fs::write(place.state.join(BEFORE), before));
        tracing::debug!(?written, "the context of before");
    }
    let host = format!("host=unix://{}", place.docker_socket().display());
    let mut update = docker(&["update", NAME, "--docker", &host], folder);
    let exists = update.status().is_ok_and(|status| status.success());
    let description = ["--description", "Larder's engine"];
    let child = if exists {
        docker(&["use", NAME], folder).spawn()
    } else {
        docker(&["create", NAME, "--docker", &host], folder)
            .args(description)
            .spawn()
    };
    Creating { child, folder }
}

impl Creating<'_> {
    /// Waits until it is made, and selects it.
    pub fn select(self) -> Result<()> {
        let mut child = self.child.map_err(SessionError::io("run docker"))?;
        let made = child.wait().map_err(SessionError::io("wait for docker"))?;
        let used = docker(&["use", NAME], self.folder).status();
        let used = used.map_err(SessionError::io("run docker"))?;
        if made.success() && used.success() {
            Ok(())
        } else {
            Err(SessionError::NoContext)
        }
    }
}

/// Selects what was selected before, and removes the context.
pub fn remove(place: &Place, folder: Option<&Path>) {
    let memory = place.state.join(BEFORE);
    if current(folder).as_deref() == Some(NAME) {
        let before = std::fs::read_to_string(&memory);
        let before = before.unwrap_or_else(|_| "default".to_owned());
        let selected = docker(&["use", before.trim()], folder).status();
        tracing::debug!(?selected, "back to the context of before");
    }
    let removed = (
        docker(&["rm", "--force", NAME], folder).status(),
        std::fs::remove_file(memory),
    );
    tracing::debug!(?removed, "the context is gone");
}
