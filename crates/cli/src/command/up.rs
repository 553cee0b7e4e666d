//! `larder up`: start an engine that remembers, in the background.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use larder_local::files;
use larder_local::people::Voice as _;
use larder_session::client::{self, Running};
use larder_session::docker_context::{self, Creating};
use larder_session::{Place, SessionError, machine};

use crate::address::Address;
use crate::args::Up;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::settings::Settings;

/// Starts a session, or attaches to the one that runs.
pub(crate) fn run(verb: &Up, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    super::check_folder("--env-file", verb.env_file.as_deref())?;
    let settings = Settings::decide(&verb.which, Some(&verb.how))?;
    let docker = settings.docker.clone();
    let request = settings.job_request();
    machine::check(&request.settings.path)?;
    let place = Place::of(&request.settings.state);
    // The context names a socket that is known before anything listens on it.
    let folder = docker.config.as_deref();
    let context = (!verb.no_context).then(|| docker_context::create(&place, folder));
    let running = match client::up(&request, report) {
        Ok(running) => running,
        Err(error) => {
            if let Some(context) = context {
                context.forget();
            }
            return Err(error.into());
        }
    };
    let address = Address::of(&running.job.engine, docker.api_version.as_deref());
    report.running(&running, "attached to");
    if let Some(context) = context {
        select(context, &running, verb, report)?;
    }
    if let Some(file) = &verb.env_file {
        append(file, &address.for_a_file())?;
    }
    report.write_json(verb.json.as_deref(), &running.job)?;
    report.answer(&address.for_a_shell());
    // Until here the session is used only as long as this process lives.
    running.keep()?;
    Ok(ExitCode::SUCCESS)
}

/// With another session's context this job's commands would work in that one's engine, unless a variable
/// says otherwise. Without any context they do not find this one.
fn select(context: Creating, running: &Running, verb: &Up, report: &Report) -> Done<()> {
    match context.select(&running.place) {
        Err(error @ SessionError::ContextTaken(_)) if verb.env_file.is_none() => Err(error.into()),
        Err(error) => {
            report.note(&format!(
                "the docker context `larder` is not selected: {error}"
            ));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn append(file: &Path, lines: &str) -> Done<()> {
    add(file, lines)
        .map_err(|error| Failure::input(format!("--env-file {}: {error}", file.display())))
}

/// Adds lines to a file, which stays its owner's. A new one is whose the directory is: the next steps may
/// add to it too. People forget to end the last line.
fn add(file: &Path, lines: &str) -> io::Result<()> {
    if !file.exists() {
        files::write_public(file, b"")?;
    }
    let is_file = file.is_file();
    let before = is_file.then(|| fs::read(file)).transpose()?;
    let is_open = before.is_some_and(|text| text.last().is_some_and(|byte| *byte != b'\n'));
    let separator = if is_open { "\n" } else { "" };
    let mut opened = OpenOptions::new().append(true).open(file)?;
    opened.write_all(format!("{separator}{lines}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_to_a_last_line_without_an_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("env");
        for (before, after) in [
            ("", "A=1\n"),
            ("B=2\n", "B=2\nA=1\n"),
            ("B=2", "B=2\nA=1\n"),
        ] {
            fs::write(&file, before).expect("written");
            append(&file, "A=1\n").expect("appended");
            assert_eq!(fs::read_to_string(&file).expect("read"), after);
        }
    }
}
