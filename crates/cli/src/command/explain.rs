//! `larder explain`: the last snapshot's plan against today's, in sentences.

use std::process::ExitCode;

use larder_builds::NamedPlan;
use larder_settings::args::Explain;
use larder_settings::exit::Done;
use serde_json::{Value, json};

use crate::report::{Report, age, name};
use crate::survey::Survey;
use crate::view::title;

pub(crate) fn run(verb: &Explain, report: &Report) -> Done {
    let (_, survey) = super::with_last(&verb.look, &verb.kind, verb.json, report)?;
    if verb.json {
        let builds: Vec<Value> = survey.plans.iter().map(|one| build(&survey, one)).collect();
        report.json(&json!({ "last": survey.last, "builds": builds }));
    } else {
        report.answer(&against(&survey));
        for named in &survey.plans {
            report.answer(&sentences(&survey, named));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn build(survey: &Survey, named: &NamedPlan) -> Value {
    let diff = survey.diff(named);
    let sentences = diff.as_ref().map(|diff| {
        let changes = diff.changes.iter().map(ToString::to_string);
        let rebuilt = diff.rebuilt.iter().map(ToString::to_string);
        changes.chain(rebuilt).collect::<Vec<_>>()
    });
    json!({
        "name": named.name,
        "file": named.file,
        "platform": named.plan.platform,
        "changes": diff.as_ref().map(|diff| &diff.changes),
        "rebuilt": diff.as_ref().map(|diff| &diff.rebuilt),
        "sentences": sentences,
    })
}

fn against(survey: &Survey) -> String {
    match &survey.last {
        None => "There is no snapshot to restore: the next build starts empty.".to_owned(),
        Some(last) => format!(
            "Against snapshot {:.12} of {} @ {}, {} old:",
            last.snapshot,
            name(&last.lineage.job),
            name(&last.lineage.scope),
            age(last.age_ms)
        ),
    }
}

fn sentences(survey: &Survey, named: &NamedPlan) -> String {
    let title = title(named);
    let Some(diff) = survey.diff(named) else {
        return format!("{title}: the snapshot has no plan to compare with.");
    };
    if diff.changes.is_empty() && diff.rebuilt.is_empty() {
        return format!("{title}: nothing that the plan knows of has changed.");
    }
    let changes = diff.changes.iter().map(|change| format!("\n  {change}"));
    let rebuilt = diff.rebuilt.iter().map(|rebuilt| format!("\n  {rebuilt}"));
    let lines: String = changes.chain(rebuilt).collect();
    format!("{title}:{lines}")
}
