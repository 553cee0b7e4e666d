//! One verb, one file: each reads as what the verb does.

pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod explain;
mod guard;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod key;
pub(crate) mod mount;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod up;

use std::path::Path;
use std::time::Duration;

use larder_archive::job;
use larder_docker::Environment;
use larder_local::files;
use larder_local::people::Voice as _;
use larder_session::Place;
use larder_session::facts::Job;
use larder_settings::args::{EngineKind, Look};
use larder_settings::exit::{Done, Failure, LACKING};
use larder_settings::{Settings, summary_file};
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::report::Report;
use crate::report::summary::Summary;
use crate::survey::Survey;

/// How long an engine that a message would name may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Refuses a file that cannot be written, because its directory is missing or a link in the checkout leads out of
/// it: before the work, not after it.
fn check_folder(option: &str, file: Option<&Path>) -> Done<()> {
    let Some(file) = file else { return Ok(()) };
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let why = if !folder.is_none_or(Path::is_dir) {
        "there is no such directory; make it first".to_owned()
    } else if file.is_dir() {
        "this is a directory; name a file".to_owned()
    } else if file == Path::new("-") {
        return Ok(());
    } else {
        match files::check_public(file) {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        }
    };
    let file = file.display();
    Err(Failure::input(format!("{option} {file}: {why}")))
}

/// Runs the work of a verb that reads and writes several things at a time.
fn block_on<T>(work: impl Future<Output = T>) -> Done<T> {
    run_on(&mut Builder::new_multi_thread(), work)
}

/// Runs the work of a verb that waits for answers most of its time.
fn wait_for<T>(work: impl Future<Output = T>) -> Done<T> {
    run_on(&mut Builder::new_current_thread(), work)
}

fn run_on<T>(threads: &mut Builder, work: impl Future<Output = T>) -> Done<T> {
    let runtime = threads.enable_all().build().map_err(Failure::failed)?;
    Ok(runtime.block_on(work))
}

/// What a session could not be started for. Where the machine lacks something, and the engine that `DOCKER_HOST`
/// names answers, the way that is left is named.
async fn refused(mut failure: Failure, docker: &Environment) -> Failure {
    let other_way = "larder build";
    let lacks = failure.code == LACKING && !failure.message.contains(other_way);
    if lacks && docker.host.is_some() {
        let answer = timeout(ANSWER_LIMIT, job::connect(docker)).await;
        if let Ok(Ok(engine)) = answer {
            let there = engine.endpoint();
            let hint = format!("; `{other_way}` works with the engine at {there}");
            failure.message.push_str(&hint);
        }
    }
    failure
}

/// Says what a job came to, and keeps it for `larder report`.
fn tell_end(job: &Job, main: &Place, summary: Option<&Path>, report: &Report) {
    report.down(job);
    let file = summary_file(summary);
    report.summary(&Summary::new(job.summary()), file.as_deref());
    if let Err(error) = main.keep_report(job) {
        report.note(&format!("`larder report` will not know this job: {error}"));
    }
}

/// What a verb compares with the last snapshot. What is wrong with a build's files is told to programs, too.
fn with_last(
    look: &Look,
    kind: &EngineKind,
    json: bool,
    report: &Report,
) -> Done<(Settings, Survey)> {
    let settings = Settings::for_builds(&look.which, &look.reach, kind, report)?;
    let looked = wait_for(Survey::look(&look.build, &settings, true))?;
    let survey = looked.inspect_err(|fault| {
        if json {
            report.json(&json!({ "error": fault }));
        }
    })?;
    survey.warn(report);
    Ok((settings, survey))
}
