//! `larder plan`: what a build depends on, and what of it moved since the last job.

use std::process::ExitCode;

use super::key::project;
use crate::args::PlanVerb;
use crate::exit::Done;
use crate::report::Report;
use crate::settings::Settings;
use crate::survey::{Survey, reject};
use crate::view;

/// Shows the plans of the builds that were asked for.
pub(crate) fn run(verb: &PlanVerb, report: &Report) -> Done {
    let look = &verb.look;
    let settings = Settings::for_builds(&look.which, &look.reach, &verb.kind)?;
    let survey = Survey::look(&look.build, &settings, true)
        .map_err(|fault| reject(fault, verb.json, report))?;
    survey.warn(report);
    let key = survey.key().text(project(&settings));
    let answer = if verb.json {
        format!("{:#}", view::json(&survey, &key))
    } else {
        view::text(&survey, &key)
    };
    report.answer(&answer);
    Ok(ExitCode::SUCCESS)
}
