//! `larder status`: what runs on this machine.

use std::process::ExitCode;

use larder_podman::VARIABLE;
use larder_session::facts::Job;
use larder_session::protocol::{Event, Request};
use larder_session::{SessionError, client};
use larder_settings::Settings;
use larder_settings::args::Status;
use larder_settings::exit::Done;

use crate::report::Report;

/// Exit code 0 if a session runs, 1 if none does.
pub(crate) fn run(verb: &Status, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let place = settings.place()?;
    let job = match client::ask_own(&place, &settings.session.wanted(), &Request::Status, report)? {
        Some(Event::Running(job)) => Some(job),
        Some(other) => return Err(SessionError::Unexpected(Box::new(other)).into()),
        None => None,
    };
    if verb.json {
        report.json(&job);
    } else {
        report.answer(&text(&settings, job.as_deref()));
    }
    Ok(ExitCode::from(u8::from(job.is_none())))
}

fn text(settings: &Settings, job: Option<&Job>) -> String {
    let Some(job) = job else {
        return format!(
            "no session runs for {}",
            settings.session.state.named().display()
        );
    };
    let from = match &job.restored {
        Some(restored) => format!("snapshot {:.12}", restored.snapshot),
        None => "nothing".to_owned(),
    };
    let (lineage, store) = (&job.lineage, &job.store);
    format!(
        "{lineage}\n  started from {from}{}\n  store {store}",
        tenant(job)
    )
}

fn tenant(job: &Job) -> String {
    let folders = job.folders.iter();
    let folders = folders.map(|folder| format!("\n  directory {}", folder.display()));
    let engine = job.engine.iter().map(|engine| {
        format!(
            "\n  Docker {} ({}), {}\n  DOCKER_HOST=unix://{}",
            engine.facts.version,
            engine.facts.image_store,
            engine.choice.shape,
            engine.socket.display()
        )
    });
    let builder = job.builder.iter().map(|builder| {
        format!(
            "\n  BuildKit {}\n  BUILDKIT_HOST=unix://{}",
            builder.version,
            builder.socket.display()
        )
    });
    let podman = job.podman.iter().map(|podman| {
        format!(
            "\n  Podman {} ({})\n  {VARIABLE}={}",
            podman.version,
            podman.driver,
            podman.storage_conf.display()
        )
    });
    folders.chain(engine).chain(builder).chain(podman).collect()
}
