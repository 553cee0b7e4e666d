//! `larder plan`: what a build depends on, and what of it moved since the last job.

use std::process::ExitCode;

use super::builds;
use super::key::project;
use crate::args::PlanVerb;
use crate::exit::Done;
use crate::plan::survey::{Survey, reject};
use crate::plan::view;
use crate::report::Report;
use crate::settings::Settings;

/// Shows the plans of the builds that were asked for.
pub fn run(verb: &PlanVerb, report: &Report) -> Done {
    let look = &verb.look;
    let (settings, around) = Settings::for_builds(&look.which, &look.reach, &verb.kind)?;
    let survey = builds::asked_for(&look.build, &around)
        .and_then(|drafts| Survey::look(&drafts, &settings, &look.build, true))
        .map_err(|fault| reject(fault, verb.json, report))?;
    survey.warn(report);
    let key = survey.key().text(project(&around));
    let answer = if verb.json {
        format!("{:#}", view::json(&survey, &key))
    } else {
        view::text(&survey, &key)
    };
    report.answer(&answer);
    Ok(ExitCode::SUCCESS)
}
