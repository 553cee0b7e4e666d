//! `larder ls`: the snapshots of a store.

use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanBytes;
use larder_model::limits::BLOCK_BYTES;
use larder_model::snapshot::Snapshot;
use larder_store::{Found, catalog};
use serde::Serialize;

use crate::args::Ls;
use crate::exit::{Done, Failure};
use crate::report::{Report, age};
use crate::session::facts::now_ms;
use crate::settings::Settings;

#[derive(Serialize)]
struct Line<'a> {
    id: String,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
}

/// Lists the project's snapshots, newest first.
pub fn run(verb: &Ls, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None)?;
    let objects = settings.open_store()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Failure::failed)?;
    let (mut found, faults) = runtime.block_on(catalog::list::<Snapshot>(&objects))?;
    found.retain(|one| verb.all || one.document.lineage.project == settings.project);
    for fault in faults {
        report.warning(&fault.to_string());
    }
    if verb.json {
        let lines = found.iter().map(|one| Line {
            id: one.id.to_string(),
            snapshot: &one.document,
        });
        let lines: Vec<_> = lines.collect();
        report.answer(&serde_json::to_string_pretty(&lines).expect("snapshots have a JSON form"));
    } else if found.is_empty() {
        report.note(&format!(
            "no snapshots of {} in {}",
            settings.project, settings.store
        ));
    } else {
        report.answer(&table(&found, verb.all).to_string());
    }
    Ok(ExitCode::SUCCESS)
}

fn table(found: &[Found], all: bool) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "SNAPSHOT", "LINEAGE", "ENGINE", "AGE", "IN USE", "NEW", "STORED", "PARENT",
    ]);
    let now = now_ms();
    for one in found {
        let snapshot = &one.document;
        let statistics = &snapshot.statistics;
        let blocks = |count: u64| HumanBytes(count * BLOCK_BYTES as u64).to_string();
        let lineage = &snapshot.lineage;
        let name = if all {
            lineage.to_string()
        } else {
            format!("{} @ {}", lineage.job, lineage.scope)
        };
        let parent = snapshot
            .parent
            .map_or("-".to_owned(), |parent| parent.short());
        table.add_row([
            one.id.short(),
            name,
            lineage.compatibility.clone(),
            age(now.saturating_sub(snapshot.created_ms)),
            blocks(statistics.used_blocks),
            blocks(statistics.new_blocks),
            HumanBytes(statistics.stored_bytes).to_string(),
            if snapshot.sibling {
                format!("{parent} (beside a newer head)")
            } else {
                parent
            },
        ]);
    }
    for column in 3..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
