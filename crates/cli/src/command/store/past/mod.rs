//! The commands that look back at jobs.

pub(crate) mod history;
pub(crate) mod report;

use larder_local::people::Voice as _;
use larder_model::archive::Archive;
use larder_model::document::Document;
use larder_model::history::told;
use larder_model::snapshot::Snapshot;
use larder_page::Row;
use larder_settings::exit::{Done, Failure};
use larder_store::Objects;
use larder_upkeep::Selection;
use larder_upkeep::shelf::{self, Shelf};

use crate::report::Report;

/// What is told of the newest jobs that are meant, the oldest first.
async fn snapshots(
    objects: &Objects,
    line: &Selection,
    limit: usize,
    report: &Report,
) -> Done<Vec<Row>> {
    let shelf = meant::<Snapshot>(objects, line, limit, report).await?;
    let found = shelf.found.iter();
    let mut entries = told(found.flat_map(|(one, _)| one.document.history(one.id)));
    entries.drain(..entries.len().saturating_sub(limit));
    Ok(entries.into_iter().map(Row::from).collect())
}

/// The same of archives.
async fn archives(
    objects: &Objects,
    line: &Selection,
    limit: usize,
    report: &Report,
) -> Done<Vec<Row>> {
    let shelf = meant::<Archive>(objects, line, limit, report).await?;
    let found = shelf.found.iter().rev();
    let rows = found.map(|(one, _)| Row::of_archive(one.id, &one.document));
    Ok(rows.collect())
}

/// The newest documents that are meant; one that cannot be read is a warning.
async fn meant<D: Document>(
    objects: &Objects,
    line: &Selection,
    limit: usize,
    report: &Report,
) -> Done<Shelf<D>> {
    let documents = larder_upkeep::list(objects).await?;
    let meant = line.of(&documents).map_err(Failure::input)?;
    let shelf = shelf::read(objects, meant, limit).await?;
    for fault in &shelf.faults {
        report.warning(&fault.to_string());
    }
    Ok(shelf)
}
