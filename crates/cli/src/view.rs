//! How builds are shown: as JSON and as tables.

use comfy_table::Table;
use larder_builds::NamedPlan;
use larder_local::clock::now_ms;
use larder_model::dockerfile::{NamedContext, Origin, Stage};
use larder_model::plan::{Plan, PlannedImage};
use serde_json::{Value, json};

use crate::report::{age, name, table};
use crate::survey::Survey;

/// The JSON form of `larder plan`: of one build the plan itself, of several a list.
pub(crate) fn json(survey: &Survey, key: &str) -> Value {
    let mut plans: Vec<Value> = survey
        .plans
        .iter()
        .map(|named| plan_json(survey, named))
        .collect();
    let mut whole = if plans.len() == 1 {
        plans.remove(0)
    } else {
        json!({ "plans": plans })
    };
    whole["key"] = key.into();
    whole["restore"] = json!(survey.last);
    whole
}

fn plan_json(survey: &Survey, named: &NamedPlan) -> Value {
    let mut value = serde_json::to_value(&named.plan).expect("a plan has a JSON form");
    for (index, image) in named.plan.images.iter().enumerate() {
        let known = survey.known(image);
        let mut unknown = survey.answers.unknown.iter();
        let entry = &mut value["images"][index];
        entry["since_ms"] = json!(known.as_ref().map(|known| known.since_ms));
        entry["checked_ms"] = json!(known.map(|known| known.checked_ms));
        entry["error"] = json!(
            unknown
                .find(|one| one.is_about(image))
                .map(|unknown| unknown.why.as_str())
        );
    }
    let diff = survey.diff(named);
    value["name"] = json!(named.name);
    value["file"] = json!(named.file);
    value["changes"] = json!(diff.as_ref().map(|diff| &diff.changes));
    value["rebuilt"] = json!(diff.map(|diff| diff.rebuilt));
    value
}

pub(crate) fn text(survey: &Survey, key: &str) -> String {
    let mut parts: Vec<String> = survey
        .plans
        .iter()
        .map(|named| plan_text(survey, named))
        .collect();
    parts.push(match &survey.last {
        Some(last) => format!(
            "restores {} @ {}, {} old ({:.12})",
            name(&last.lineage.job),
            name(&last.lineage.scope),
            age(last.age_ms),
            last.snapshot
        ),
        None => "restores nothing: there is no snapshot for this job".to_owned(),
    });
    parts.push(format!("key {key}"));
    parts.join("\n")
}

fn plan_text(survey: &Survey, named: &NamedPlan) -> String {
    let plan = &named.plan;
    let mut parts = vec![format!(
        "{}: stage {} for {}",
        title(named),
        plan.stages[plan.target].label,
        plan.platform
    )];
    if !plan.images.is_empty() {
        parts.push(images(survey, plan));
    }
    parts.push(stages(survey, named));
    for (path, fingerprint) in &plan.extras {
        parts.push(format!("file {path} {fingerprint:.12}"));
    }
    let diff = survey.diff(named);
    let changes = diff.iter().flat_map(|diff| &diff.changes);
    parts.extend(changes.map(|change| format!("since the last snapshot: {change}")));
    parts.push(String::new());
    parts.join("\n")
}

/// What a build is called: its file, and what the compose or bake file calls it.
pub(crate) fn title(named: &NamedPlan) -> String {
    match &named.name {
        Some(name) => format!("{name} ({})", named.file),
        None => named.file.clone(),
    }
}

fn headed(header: &[&str]) -> Table {
    let mut table = table::plain();
    table.set_header(header);
    table
}

fn images(survey: &Survey, plan: &Plan) -> String {
    let mut table = headed(&["IMAGE", "IDENTITY", "SINCE", "USED BY"]);
    for image in &plan.images {
        let known = survey.known(image);
        let identity = match (&image.identity, image.reached) {
            (Some(identity), _) => format!("{identity:.12}"),
            (None, false) => "not needed".to_owned(),
            (None, true) => "unknown".to_owned(),
        };
        let since = known.map_or("-".to_owned(), |known| {
            age(now_ms().saturating_sub(known.since_ms))
        });
        let name = if image.platform == plan.platform {
            image.reference.familiar()
        } else {
            format!("{} ({})", image.reference.familiar(), image.platform)
        };
        table.add_row([name, identity, since, used_by(image)]);
    }
    table::text(&table)
}

fn used_by(image: &PlannedImage) -> String {
    let uses = image.uses.iter().map(|site| match &site.stage {
        Some(stage) => format!("{stage}:{}", site.line),
        None => "syntax".to_owned(),
    });
    uses.collect::<Vec<_>>().join(" ")
}

fn stages(survey: &Survey, named: &NamedPlan) -> String {
    let mut table = headed(&["STAGE", "FROM", "NEXT BUILD"]);
    let diff = survey.diff(named);
    for stage in &named.plan.stages {
        let fate = match &diff {
            None => "nothing to compare with".to_owned(),
            Some(diff) => match diff.rebuilt.iter().find(|one| one.stage == stage.label) {
                Some(rebuilt) => format!("rebuilt from line {}", rebuilt.from_line),
                None => "as before".to_owned(),
            },
        };
        let from = origin(&named.plan.stages, &stage.base);
        table.add_row([stage.label.clone(), from, fate]);
    }
    table::text(&table)
}

fn origin(stages: &[Stage], origin: &Origin) -> String {
    match origin {
        Origin::Scratch => "scratch".to_owned(),
        Origin::Stage(index) => stages[*index].label.clone(),
        Origin::Image(image) => image.reference.familiar(),
        Origin::Context(NamedContext::Target(build)) => format!("{build}, built here"),
        Origin::Context(_) => "a named context".to_owned(),
    }
}
