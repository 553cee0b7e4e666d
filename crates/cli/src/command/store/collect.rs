//! Collecting garbage after a save, in a process that nobody waits for.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use larder_bases::Project;
use larder_local::people::Voice as _;
use larder_settings::exit::{Done, Failure};
use larder_store::Access;
use larder_upkeep::gc;
use serde::{Deserialize, Serialize};

use crate::command::wait_for;
use crate::report::Report;

/// What is handed to the process, on its standard input: no process list shows the secrets in it.
#[derive(Serialize, Deserialize)]
struct Request {
    store: Access,
    project: String,
}

/// Begins a collection after a save of `document`, now and then. Whether it works does not matter to the job.
pub(crate) fn after(project: Option<&Project>, document: Option<&impl Display>, report: &Report) {
    let (Some(project), Some(document)) = (project, document) else {
        return;
    };
    if !gc::is_chosen(&document.to_string()) || !project.store.is_collected() {
        return;
    }
    let begun = spawn(&Request {
        store: project.store.clone(),
        project: project.descent.project.clone(),
    });
    if let Err(error) = begun {
        report.note(&format!("garbage is not collected this time: {error}"));
    }
}

fn spawn(request: &Request) -> io::Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("__collect")
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(&serde_json::to_vec(request)?)
}

/// The process itself.
pub(crate) fn run() -> Done {
    let request: Request = serde_json::from_reader(io::stdin()).map_err(Failure::input)?;
    let objects = request.store.open_listed()?;
    wait_for(gc::now_and_then(&objects, &request.project))?;
    Ok(ExitCode::SUCCESS)
}
