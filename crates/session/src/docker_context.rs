//! The docker command line's context `larder`: made and selected while a session is up.
//!
//! The docker program does it, because the files are its own. Without that program no context is needed. There
//! is one current context: a session does not take it from another that lives, whose job would then work in
//! this one's engine.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use larder_docker::OF_ANOTHER_ENGINE;
use larder_local::child::{Limits, NoAnswer, ask};
use larder_local::files;

use crate::{Place, Result, SessionError};

const NAME: &str = "larder";
/// Remembers in the state directory which context was current before.
const BEFORE: &str = "context-before";

/// A context that is being made.
pub struct Creating {
    place: Place,
    folder: Option<PathBuf>,
    thread: JoinHandle<Result<()>>,
}

/// What `docker context` prints, if it succeeds. It runs as whoever its files belong to: root's would be
/// closed to the user whose `HOME` sudo(8) has left as it was.
fn docker(arguments: &[&str], folder: Option<&Path>) -> Result<Option<String>, NoAnswer> {
    let mut command = Command::new("docker");
    // With DOCKER_HOST or DOCKER_CONTEXT set, docker refuses to change the current context.
    command
        .arg("context")
        .args(arguments)
        .env_remove("DOCKER_HOST");
    for name in OF_ANOTHER_ENGINE {
        command.env_remove(name);
    }
    if let Some((user, group)) = folder.and_then(other_owner) {
        command.uid(user).gid(group);
    }
    let output = ask(&mut command, "", Limits::QUICK)?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(said))
}

/// Who owns a folder, or what it will be made in, if that is not root.
fn other_owner(folder: &Path) -> Option<(u32, u32)> {
    let mut found = folder.ancestors().filter_map(|path| path.metadata().ok());
    let owner = found.next()?;
    (owner.uid() != 0).then(|| (owner.uid(), owner.gid()))
}

/// The name and the engine of the context that is selected.
fn current(folder: Option<&Path>) -> Option<(String, String)> {
    let format = "{{.Name}} {{.Endpoints.docker.Host}}";
    let said = docker(&["inspect", "--format", format], folder).ok()??;
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

/// Begins to make the context in the docker command's folder. [`Creating::select`] waits for it.
pub fn create(place: &Place, folder: Option<&Path>) -> Creating {
    let (place, folder) = (place.clone(), folder.map(Path::to_owned));
    let (of, within) = (place.clone(), folder.clone());
    Creating {
        place,
        folder,
        thread: std::thread::spawn(move || make(&of, within.as_deref())),
    }
}

fn make(place: &Place, folder: Option<&Path>) -> Result<()> {
    let own = host_of(place);
    match current(folder) {
        Some((name, host)) if name == NAME && host != own && lives(&host) => {
            return Err(SessionError::ContextTaken(host));
        }
        Some((before, _)) if before != NAME => {
            // Losing this means that `down` selects the default context.
            let made = place.make_state();
            let path = place.state().join(BEFORE);
            let written = made.map(|()| files::write_private(&path, before.as_bytes()));
            tracing::debug!(?written, "the context of before");
        }
        _ => {}
    }
    let engine = format!("host={own}");
    if docker(&["update", NAME, "--docker", &engine], folder)
        .map_err(SessionError::Context)?
        .is_some()
    {
        return Ok(());
    }
    let description = ["--description", "Larder's engine"];
    let create = [&["create", NAME, "--docker", &engine], &description[..]].concat();
    done(docker(&create, folder))
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
        if place.state() == self.place.state() {
            made?;
        } else {
            make(place, self.folder.as_deref())?;
        }
        done(docker(&["use", NAME], self.folder.as_deref()))
    }

    /// Removes it: it was made in vain.
    pub fn forget(self) {
        let made = self.thread.join().expect("making a context does not panic");
        tracing::debug!(?made, "a context for no session");
        remove(&self.place, self.folder.as_deref());
    }
}

/// Selects what was selected before, and removes the context, unless it is another session's. `folder` is
/// the docker command's.
pub fn remove(place: &Place, folder: Option<&Path>) {
    let memory = place.state().join(BEFORE);
    let current = current(folder).filter(|(name, _)| name == NAME);
    if let Some((_, host)) = current {
        if host != host_of(place) {
            return;
        }
        let before = files::open_private(&memory).and_then(std::io::read_to_string);
        let before = before.unwrap_or_else(|_| "default".to_owned());
        let selected = docker(&["use", before.trim()], folder);
        tracing::debug!(?selected, "back to the context of before");
    }
    let removed = (
        docker(&["rm", "--force", NAME], folder),
        std::fs::remove_file(memory),
    );
    tracing::debug!(?removed, "the context is gone");
}
