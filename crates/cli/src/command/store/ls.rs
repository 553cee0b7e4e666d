//! `larder ls`: the snapshots and archives of a store.

use std::process::ExitCode;

use comfy_table::{CellAlignment, Table};
use indicatif::HumanBytes;
use larder_local::clock::now_ms;
use larder_local::people::Voice as _;
use larder_model::archive::Archive;
use larder_model::document::Document;
use larder_model::limits::BLOCK_BYTES;
use larder_model::mark::{Fault, Mark};
use larder_model::snapshot::Snapshot;
use larder_settings::Settings;
use larder_settings::args::Ls;
use larder_settings::exit::{Done, Failure};
use larder_store::Found;
use larder_upkeep::shelf::{self, Shelf};
use serde::Serialize;

use crate::command::block_on;
use crate::report::{self, Report, age, table};

/// Documents that are listed if nobody says how many.
const LIMIT: usize = 50;
/// Characters of a mark's reason that are shown.
const WHY_CHARS: usize = 200;

#[derive(Serialize)]
struct Line<'a, D> {
    id: String,
    marks: &'a [Mark],
    #[serde(flatten)]
    document: &'a D,
}

/// What a line shows of a snapshot or an archive alone.
struct Facts {
    size: u64,
    new: u64,
    stored: u64,
    parent: Option<String>,
    sibling: bool,
}

/// Lists the project's snapshots or archives, newest first.
pub(crate) fn run(verb: &Ls, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    if verb.archives {
        let words = ["archives", "ARCHIVE", "SIZE"];
        show(verb, &settings, words, of_archive, report)
    } else {
        let words = ["snapshots", "SNAPSHOT", "IN USE"];
        show(verb, &settings, words, of_snapshot, report)
    }
}

fn show<D: Document + Serialize>(
    verb: &Ls,
    settings: &Settings,
    [what, one, size]: [&str; 3],
    facts: fn(&D) -> Facts,
    report: &Report,
) -> Done {
    let project = settings.project();
    let objects = project.store.open_listed()?;
    let limit = match verb.limit {
        Some(0) => usize::MAX,
        None if verb.json => usize::MAX,
        limit => limit.unwrap_or(LIMIT),
    };
    let which = if verb.lineage {
        super::own_line(&verb.which, settings)
    } else {
        super::selection(&verb.which, settings, &[], verb.all)
    };
    let listed = block_on(async {
        let documents = larder_upkeep::list(&objects).await?;
        let meant = which.of(&documents).map_err(Failure::input)?;
        Ok::<_, Failure>(shelf::read::<D>(&objects, meant, limit).await?)
    })??;
    for fault in &listed.faults {
        report.warning(&fault.to_string());
    }
    if verb.json {
        let lines = listed.found.iter().map(|(one, marks)| Line {
            id: one.id.to_string(),
            marks,
            document: &one.document,
        });
        report.json(&lines.collect::<Vec<_>>());
    } else if listed.total == 0 {
        report.note(&format!(
            "no {what} of {} in {}",
            project.descent.project, project.store
        ));
    } else {
        let rows = listed.found.iter();
        let rows = rows.map(|(one, _)| row(one, verb.all, &facts(&one.document)));
        report.answer(&table::text(&table_of(one, size, rows)));
        for (one, marks) in &listed.found {
            let id = one.id.to_string();
            for mark in marks {
                report.answer(&marked(&id, mark));
            }
        }
        let Shelf {
            total,
            lineages,
            found,
            ..
        } = &listed;
        if found.len() < *total {
            report.note(&format!(
                "{} of {total} {what} in {lineages} lineages; --limit 0 lists all, --lineage, --job and --scope fewer",
                found.len()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A mark as a line below the table. What a machine said of itself may be many lines.
fn marked(id: &str, mark: &Mark) -> String {
    let what = match mark.strike.fault {
        Fault::Damage => "is damaged",
        Fault::Start => "did not start",
    };
    let first = mark.why.lines().next().unwrap_or_default();
    let first = first.chars().filter(|c| !c.is_control()).take(WHY_CHARS);
    format!(
        "{id:.12} {what}, says {} on {} {} ago: {}",
        mark.job,
        mark.strike.machine,
        age(now_ms().saturating_sub(mark.strike.created_ms)),
        first.collect::<String>()
    )
}

fn of_archive(archive: &Archive) -> Facts {
    let statistics = &archive.statistics;
    Facts {
        size: statistics.blob_bytes,
        new: statistics.new_bytes,
        stored: statistics.stored_bytes,
        parent: archive.parent.map(|parent| format!("{parent:.12}")),
        sibling: archive.sibling,
    }
}

fn of_snapshot(snapshot: &Snapshot) -> Facts {
    let statistics = &snapshot.statistics;
    Facts {
        size: statistics.used_blocks * BLOCK_BYTES as u64,
        new: statistics.new_blocks * BLOCK_BYTES as u64,
        stored: statistics.stored_bytes,
        parent: snapshot.parent.map(|parent| format!("{parent:.12}")),
        sibling: snapshot.sibling,
    }
}

fn table_of(what: &str, size: &str, rows: impl Iterator<Item = [String; 8]>) -> Table {
    let mut table = table::plain();
    table.set_header([
        what, "LINEAGE", "ENGINE", "AGE", size, "NEW", "STORED", "PARENT",
    ]);
    table.add_rows(rows);
    for column in 3..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn row<D: Document>(one: &Found<D>, all: bool, facts: &Facts) -> [String; 8] {
    let lineage = one.document.lineage();
    let name = if all {
        lineage.to_string()
    } else {
        format!("{} @ {}", lineage.job, lineage.scope)
    };
    let parent = facts.parent.as_deref().unwrap_or("-");
    let note = if facts.sibling {
        " (beside a newer head)"
    } else {
        ""
    };
    [
        format!("{:.12}", one.id),
        report::name(&name),
        report::name(&lineage.compatibility),
        age(now_ms().saturating_sub(one.document.created_ms())),
        HumanBytes(facts.size).to_string(),
        HumanBytes(facts.new).to_string(),
        HumanBytes(facts.stored).to_string(),
        format!("{parent}{note}"),
    ]
}
