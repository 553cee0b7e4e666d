//! `larder history`: what the jobs of a line came to.

use std::process::ExitCode;

use comfy_table::{CellAlignment, Table};
use larder_local::people::Voice as _;
use larder_page::Row;
use larder_settings::Settings;
use larder_settings::args::History;
use larder_settings::exit::Done;

use crate::command::block_on;
use crate::command::store::own_line;
use crate::report::{Report, name, table};

/// Jobs that are shown if nobody says how many.
pub(super) const LIMIT: usize = 30;

/// Shows them, the newest first.
pub(crate) fn run(verb: &History, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let objects = settings.project().store.open()?;
    let limit = match verb.limit {
        Some(0) => usize::MAX,
        limit => limit.unwrap_or(LIMIT),
    };
    let line = own_line(&verb.which, &settings);
    let mut rows = block_on(async {
        if verb.archives {
            super::archives(&objects, &line, limit, report).await
        } else {
            super::snapshots(&objects, &line, limit, report).await
        }
    })??;
    rows.reverse();
    if verb.json {
        report.json(&rows);
    } else if rows.is_empty() {
        let descent = &settings.project().descent;
        report.note(&format!(
            "no job of {} has saved and told what it came to in {}",
            name(&descent.project),
            settings.project().store
        ));
    } else {
        report.answer(&table::text(&table_of(&rows)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each job.
pub(super) fn table_of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Table {
    let mut table = table::plain();
    table.set_header(Row::HEADER.map(str::to_uppercase));
    table.add_rows(rows.into_iter().map(Row::cells));
    for number in 2..Row::HEADER.len() {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
