//! `larder key`: a cache key for a build.

use std::process::ExitCode;

use larder_local::files;
use larder_settings::Settings;
use larder_settings::args::{EngineKind, KeyVerb};
use larder_settings::exit::{Done, Failure};

use crate::report::Report;
use crate::survey::Survey;

/// Stands in a key for the project, if that was not named. A CI system's cache belongs to one repository
/// anyway, and a name guessed from a directory would differ from machine to machine.
const NO_PROJECT: &str = "build";

/// Prints the key, or the ladder of keys.
pub(crate) fn run(verb: &KeyVerb, report: &Report) -> Done {
    super::check_folder("--write", verb.write.as_deref())?;
    let look = &verb.look;
    let no_engine = EngineKind::default();
    let settings = Settings::for_builds(&look.which, &look.reach, &no_engine, report)?;
    let survey = super::wait_for(Survey::look(&look.build, &settings, false))??;
    if verb.allow_unresolved || survey.answers.unknown.is_empty() {
        survey.warn(report);
    } else {
        let unknown = survey.answers.unknown.iter();
        let why = unknown.map(|unknown| format!("{}: {}", unknown.reference, unknown.why));
        return Err(Failure::failed(format!(
            "cannot make a key without the base images: {}; --allow-unresolved uses their names instead",
            why.collect::<Vec<_>>().join("; ")
        )));
    }
    let project = project(&settings);
    let key = survey.key();
    let text = if verb.ladder {
        key.ladder(project).join("\n")
    } else {
        key.text(project)
    };
    if let Some(file) = &verb.write {
        let written = files::write_public(file, format!("{text}\n").as_bytes());
        written.map_err(|error| Failure::input(format!("--write {}: {error}", file.display())))?;
    }
    report.answer(&text);
    Ok(ExitCode::SUCCESS)
}

/// The project's part of a key.
pub(super) fn project(settings: &Settings) -> &str {
    settings
        .around
        .named_project
        .as_deref()
        .unwrap_or(NO_PROJECT)
}
