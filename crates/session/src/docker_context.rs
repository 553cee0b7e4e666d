//! The docker command line's context `larder`: made and selected while a session is up.
//!
//! The docker program does it, because the files are its own. Without that program no context is needed.

use std::io;
use std::process::{Child, Command, Stdio};

use larder_local::files;

use crate::{Place, Result, SessionError};

const NAME: &str = "larder";
/// Remembers in the state directory which context was current before.
const BEFORE: &str = "context-before";

/// A context that is being made.
pub struct Creating {
    child: io::Result<Child>,
}

fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    // With DOCKER_HOST or DOCKER_CONTEXT set, docker refuses to change the current context.
    command
        .arg("context")
        .args(arguments)
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn current() -> Option<String> {
    let output = docker(&["show"]).stdout(Stdio::piped()).output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !name.is_empty()).then_some(name)
}

/// Begins to make the context. [`Creating::select`] waits for it.
pub fn create(place: &Place) -> Creating {
    let before = current();
    if let Some(before) = before.filter(|name| name != NAME) {
        // Losing this means that `down` selects the default context.
        let made = place.make_state();
        let path = place.state().join(BEFORE);
        let written = made.map(|()| files::write_private(&path, before.as_bytes()));
        tracing::debug!(?written, "the context of before");
    }
    let host = format!("host=unix://{}", place.docker_socket().display());
    let mut update = docker(&["update", NAME, "--docker", &host]);
    let exists = update.status().is_ok_and(|status| status.success());
    let description = ["--description", "Larder's engine"];
    let child = if exists {
        docker(&["use", NAME]).spawn()
    } else {
        docker(&["create", NAME, "--docker", &host])
            .args(description)
            .spawn()
    };
    Creating { child }
}

impl Creating {
    /// Waits until it is made, and selects it.
    pub fn select(self) -> Result<()> {
        let mut child = self.child.map_err(SessionError::io("run docker"))?;
        let made = child.wait().map_err(SessionError::io("wait for docker"))?;
        let used = docker(&["use", NAME]).status();
        let used = used.map_err(SessionError::io("run docker"))?;
        if made.success() && used.success() {
            Ok(())
        } else {
            Err(SessionError::NoContext)
        }
    }
}

/// Selects what was selected before, and removes the context.
pub fn remove(place: &Place) {
    let memory = place.state().join(BEFORE);
    if current().as_deref() == Some(NAME) {
        let before = files::open_private(&memory).and_then(std::io::read_to_string);
        let before = before.unwrap_or_else(|_| "default".to_owned());
        let selected = docker(&["use", before.trim()]).status();
        tracing::debug!(?selected, "back to the context of before");
    }
    let removed = (
        docker(&["rm", "--force", NAME]).status(),
        std::fs::remove_file(memory),
    );
    tracing::debug!(?removed, "the context is gone");
}
