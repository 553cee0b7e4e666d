//! `larder plan`: what a build depends on, and what of it moved since the last job.

use std::process::ExitCode;

use larder_settings::args::PlanVerb;
use larder_settings::exit::Done;

use super::key::project;
use crate::report::Report;
use crate::view;

pub(crate) fn run(verb: &PlanVerb, report: &Report) -> Done {
    let (settings, survey) = super::with_last(&verb.look, &verb.kind, verb.json, report)?;
    let key = survey.key().text(project(&settings));
    if verb.json {
        report.json(&view::json(&survey, &key));
    } else {
        report.answer(&view::text(&survey, &key));
    }
    Ok(ExitCode::SUCCESS)
}
