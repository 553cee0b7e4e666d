//! The docker command line's context `larder`: made and selected while a session is up.
//!
//! The docker program does it, because the files are its own. Without that program no context is needed. There
//! is one current context: a session does not take it from another that lives, whose job would then work in
//! this one's engine.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread::JoinHandle;

use larder_local::child::{Limits, NoAnswer, ask};

use crate::{Place, Result, SessionError};

const NAME: &str = "larder";
/// Remembers in the state directory which context was current before.
const BEFORE: &str = "context-before";

/// A context that is being made.
pub struct Creating {
    place: Place,
    thread: JoinHandle<Result<()>>,
}

/// What `docker context` prints, if it succeeds.
fn docker(arguments: &[&str]) -> Result<Option<String>, NoAnswer> {
    let mut command = Command::new("docker");
    // With DOCKER_HOST or DOCKER_CONTEXT set, docker refuses to change the current context.
    command
        .arg("context")
        .args(arguments)
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT");
    let output = ask(&mut command, "", Limits::QUICK)?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(said))
}

/// The name and the engine of the context that is selected.
fn current() -> Option<(String, String)> {
    let format = "{{.Name}} {{.Endpoints.docker.Host}}";
    let said = docker(&["inspect", "--format", format]).ok()??;
    let (name, host) = said.split_once(' ')?;
    Some((name.to_owned(), host.to_owned()))
}

fn host_of(place: &Place) -> String {
    format!("unix://{}", place.docker_socket().display())
}

fn lives(host: &str) -> bool {
    let socket = host.strip_prefix("unix://");
    socket.is_some_and(|socket| UnixStream::connect(socket).is_ok())
}

/// Begins to make the context. [`Creating::select`] waits for it.
pub fn create(place: &Place) -> Creating {
    let (place, of) = (place.clone(), place.clone());
    Creating {
        place,
        thread: std::thread::spawn(move || make(&of)),
    }
}

fn make(place: &Place) -> Result<()> {
    let own = host_of(place);
    match current() {
        Some((name, host)) if name == NAME && host != own && lives(&host) => {
            return Err(SessionError::ContextTaken(host));
        }
        Some((before, _)) if before != NAME => {
            // Losing this means that `down` selects the default context.
            let written = std::fs::create_dir_all(&place.state)
                .and_then(|()| std::fs::write(place.state.join(BEFORE), before));
            tracing::debug!(?written, "the context of before");
        }
        _ => {}
    }
    let engine = format!("host={own}");
    if docker(&["update", NAME, "--docker", &engine])
        .map_err(SessionError::Context)?
        .is_some()
    {
        return Ok(());
    }
    let description = ["--description", "Larder's engine"];
    let create = [&["create", NAME, "--docker", &engine], &description[..]].concat();
    done(docker(&create))
}

fn done(said: Result<Option<String>, NoAnswer>) -> Result<()> {
    let said = said.map_err(SessionError::Context)?;
    said.map(drop).ok_or(SessionError::NoContext)
}

impl Creating {
    /// Waits until it is made, and selects it, for the session of this place.
    pub fn select(self, place: &Place) -> Result<()> {
        let made = self.thread.join().expect("making a context does not panic");
        // A session beside the one that is there has another socket.
        if place.state == self.place.state {
            made?;
        } else {
            make(place)?;
        }
        done(docker(&["use", NAME]))
    }

    /// Removes it: it was made in vain.
    pub fn forget(self) {
        let made = self.thread.join().expect("making a context does not panic");
        tracing::debug!(?made, "a context for no session");
        remove(&self.place);
    }
}

/// Selects what was selected before, and removes the context, unless it is another session's.
pub fn remove(place: &Place) {
    let memory = place.state.join(BEFORE);
    let current = current().filter(|(name, _)| name == NAME);
    if let Some((_, host)) = current {
        if host != host_of(place) {
            return;
        }
        let before = std::fs::read_to_string(&memory);
        let before = before.unwrap_or_else(|_| "default".to_owned());
        let selected = docker(&["use", before.trim()]);
        tracing::debug!(?selected, "back to the context of before");
    }
    let removed = (
        docker(&["rm", "--force", NAME]),
        std::fs::remove_file(memory),
    );
    tracing::debug!(?removed, "the context is gone");
}
