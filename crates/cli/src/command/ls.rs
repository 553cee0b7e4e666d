//! `larder ls`: the snapshots and archives of a store.

use std::process::ExitCode;

use comfy_table::{CellAlignment, Table};
use indicatif::HumanBytes;
use larder_local::clock::now_ms;
use larder_local::people::Voice as _;
use larder_model::archive::Archive;
use larder_model::document::Document;
use larder_model::limits::BLOCK_BYTES;
use larder_model::snapshot::Snapshot;
use larder_store::{Found, catalog};
use serde::Serialize;

use crate::args::Ls;
use crate::exit::Done;
use crate::report::{Report, age, table};
use crate::settings::Settings;

/// Digits of an id that are shown, as elsewhere.
const SHORT_ID: usize = 12;

#[derive(Serialize)]
struct Line<'a, D> {
    id: String,
    #[serde(flatten)]
    document: &'a D,
}

/// Lists the project's snapshots or archives, newest first.
pub(crate) fn run(verb: &Ls, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None)?;
    if verb.archives {
        show::<Archive>(verb, &settings, "archives", archives, report)
    } else {
        show::<Snapshot>(verb, &settings, "snapshots", snapshots, report)
    }
}

fn show<D: Document + Serialize>(
    verb: &Ls,
    settings: &Settings,
    what: &str,
    rows: fn(&[Found<D>], bool) -> Table,
    report: &Report,
) -> Done {
    let project = settings.project();
    let objects = project.store.open()?;
    let (mut found, faults) = super::block_on(async { Ok(catalog::list::<D>(&objects).await?) })?;
    found.retain(|one| verb.all || one.document.lineage().project == project.descent.project);
    for fault in faults {
        report.warning(&fault.to_string());
    }
    if verb.json {
        let lines = found.iter().map(|one| Line {
            id: one.id.to_string(),
            document: &one.document,
        });
        let lines: Vec<_> = lines.collect();
        report.answer(&serde_json::to_string_pretty(&lines).expect("documents have a JSON form"));
    } else if found.is_empty() {
        report.note(&format!(
            "no {what} of {} in {}",
            project.descent.project, project.store
        ));
    } else {
        report.answer(&table::text(&rows(&found, verb.all)));
    }
    Ok(ExitCode::SUCCESS)
}

fn archives(found: &[Found<Archive>], all: bool) -> Table {
    let rows = found.iter().map(|one| {
        let archive = &one.document;
        let statistics = &archive.statistics;
        let bytes = [
            statistics.blob_bytes,
            statistics.new_bytes,
            statistics.stored_bytes,
        ];
        let parent = archive.parent.map(|parent| parent.short());
        row(one, all, bytes, parent, archive.sibling)
    });
    listed(["ARCHIVE", "SIZE"], rows)
}

fn snapshots(found: &[Found], all: bool) -> Table {
    let rows = found.iter().map(|one| {
        let snapshot = &one.document;
        let statistics = &snapshot.statistics;
        let bytes = [
            statistics.used_blocks * BLOCK_BYTES as u64,
            statistics.new_blocks * BLOCK_BYTES as u64,
            statistics.stored_bytes,
        ];
        let parent = snapshot.parent.map(|parent| parent.short());
        row(one, all, bytes, parent, snapshot.sibling)
    });
    listed(["SNAPSHOT", "IN USE"], rows)
}

fn listed([what, size]: [&str; 2], rows: impl Iterator<Item = [String; 8]>) -> Table {
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

fn row<D: Document>(
    one: &Found<D>,
    all: bool,
    bytes: [u64; 3],
    parent: Option<String>,
    sibling: bool,
) -> [String; 8] {
    let lineage = one.document.lineage();
    let name = if all {
        lineage.to_string()
    } else {
        format!("{} @ {}", lineage.job, lineage.scope)
    };
    let parent = parent.unwrap_or_else(|| "-".to_owned());
    let [size, new, stored] = bytes.map(|bytes| HumanBytes(bytes).to_string());
    [
        one.id.to_string().chars().take(SHORT_ID).collect(),
        name,
        lineage.compatibility.clone(),
        age(now_ms().saturating_sub(one.document.created_ms())),
        size,
        new,
        stored,
        if sibling {
            format!("{parent} (beside a newer head)")
        } else {
            parent
        },
    ]
}
