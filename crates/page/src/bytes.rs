//! Bytes as they came and went while the job ran.

use larder_local::people::{seconds_of, size};
use larder_model::course::Moment;

use crate::chart::{Chart, Line, Unit};
use crate::html::Html;
use crate::timeline::time_marks;

/// Rows of the table: more is for programs.
const ROWS_MAX: usize = 24;

#[allow(clippy::cast_precision_loss)] // of a drawing
pub(crate) fn add(traffic: &[Moment], page: &mut Html) {
    let Some(last) = traffic.last() else { return };
    let line = |name, bytes: fn(&Moment) -> u64| Line {
        name,
        points: traffic
            .iter()
            .map(|moment| (moment.at_ms as f64, bytes(moment) as f64))
            .collect(),
    };
    let end = last.at_ms as f64;
    let chart = Chart {
        title: "Bytes fetched from the store and stored in it, over the job's time",
        unit: Unit::Bytes,
        span: (0.0, end),
        marks: time_marks(end),
        lines: vec![
            line("fetched", |moment| moment.fetched_bytes),
            line("stored", |moment| moment.stored_bytes),
        ],
    };
    page.section("Bytes over time");
    let caption = format!(
        "{} came from the store, {} were stored.",
        size(last.fetched_bytes),
        size(last.stored_bytes)
    );
    page.figure(&chart.svg(), &caption);
    let each = traffic.len().div_ceil(ROWS_MAX).max(1);
    let mut shown: Vec<&Moment> = traffic.iter().rev().step_by(each).collect();
    shown.reverse();
    let rows = shown.into_iter().map(|moment| {
        [
            seconds_of(moment.at_ms),
            size(moment.fetched_bytes),
            size(moment.stored_bytes),
        ]
    });
    page.figures(&["at", "fetched", "stored"], rows);
}
