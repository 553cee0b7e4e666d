//! `larder promote`: what one scope saved last becomes the head of another.

use std::process::ExitCode;

use larder_local::clock::now_ms;
use larder_settings::Settings;
use larder_settings::args::Promote;
use larder_settings::exit::{Done, Failure};
use larder_upkeep::promote::{promote, target};
use larder_upkeep::{Selection, scopes_meant_by};

use super::selection;
use crate::command::block_on;
use crate::report::{self, Report};

/// Promotes the newest document of each lineage.
pub(crate) fn run(verb: &Promote, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let project = settings.project();
    let objects = project.store.open_listed()?;
    let reader = project.reader();
    let promoted = block_on(async {
        let documents = larder_upkeep::list(&objects).await?;
        let from = Selection {
            scopes: Some(scopes_meant_by(&verb.from)),
            ..selection(&verb.which, &settings, &[], false)
        };
        let newest = from.newest(&documents, now_ms()).map_err(Failure::input)?;
        if newest.is_empty() {
            let project = &project.descent.project;
            let why = format!(
                "{project} has nothing of {:?}; `larder ls` shows what there is",
                verb.from
            );
            return Err(Failure::input(why));
        }
        let to = target(&verb.to, &documents);
        let mut promoted = Vec::new();
        for one in newest {
            let done = promote(&objects, one, &to, &reader, verb.dry_run).await?;
            promoted.extend(done);
        }
        Ok::<_, Failure>(promoted)
    })??;
    if verb.json {
        report.json(&promoted);
    } else {
        let would = if verb.dry_run { "would be " } else { "" };
        for one in &promoted {
            let lineage = report::name(&one.lineage.to_string());
            report.answer(&format!("{:.12} {would}promoted to {lineage}", one.from));
        }
    }
    if promoted.is_empty() {
        return Err(Failure::failed(format!(
            "nothing of {:?} can be used; `larder verify` says why",
            verb.from
        )));
    }
    Ok(ExitCode::SUCCESS)
}
