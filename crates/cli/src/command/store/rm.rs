//! `larder rm`: single documents, a scope's or a job's.

use std::process::ExitCode;

use larder_local::people::Voice as _;
use larder_settings::Settings;
use larder_settings::args::Rm;
use larder_settings::exit::{Done, Failure};
use larder_upkeep::Listed;
use larder_upkeep::remove::remove;
use serde_json::json;

use super::selection;
use crate::command::block_on;
use crate::report::Report;

/// Removes documents.
pub(crate) fn run(verb: &Rm, report: &Report) -> Done {
    if verb.ids.is_empty() && verb.which.scope.is_none() && verb.which.job.is_none() {
        let cure = "name what to remove: ids as `larder ls` shows them, --scope or --job";
        return Err(Failure::input(cure));
    }
    let settings = Settings::decide(&verb.which, None, report)?;
    let objects = settings.project().store.open_listed()?;
    let documents = block_on(larder_upkeep::list(&objects))??;
    let selection = selection(&verb.which, &settings, &verb.ids, false);
    let meant = selection.of(&documents).map_err(Failure::input)?;
    if !verb.dry_run {
        block_on(remove(&objects, &meant))??;
    }
    let would = if verb.dry_run { "would be " } else { "" };
    if verb.json {
        report.json(&json!({ "dry_run": verb.dry_run, "removed": meant }));
    } else {
        let lines = meant
            .iter()
            .map(|one: &&Listed| format!("{would}removed {}", one.name()));
        lines.for_each(|line| report.answer(&line));
        report.note(&format!(
            "{} documents {would}removed; `larder gc` removes what they named",
            meant.len()
        ));
    }
    Ok(ExitCode::SUCCESS)
}
