//! What the jobs of a line came to, one after the other, and how their store grew.

use larder_local::people::{seconds_of, size};
use larder_model::archive::Archive;
use larder_model::digest::ArchiveId;
use larder_model::history::Entry;
use larder_model::limits::BLOCK_BYTES;
use serde::Serialize;

use crate::chart::{Chart, Line, Unit};
use crate::html::{Html, day_and_time};

/// Points of a curve: more are no finer on a screen.
const GROWTH_MAX: usize = 60;

/// A job of a line that saved. What is not known is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What it saved.
    pub id: String,
    /// When: Unix time in milliseconds.
    pub created_ms: u64,
    /// Steps of its builds, and how many were in the cache.
    pub steps: Option<u64>,
    /// How many of them were in the cache.
    pub cached_steps: Option<u64>,
    /// How long its builds took.
    pub build_ms: Option<u64>,
    /// How long they take on an empty engine.
    pub cold_build_ms: Option<u64>,
    /// How long Larder took, as far as that is known when a document is written.
    pub larder_ms: Option<u64>,
    /// What was fetched.
    pub fetched_bytes: Option<u64>,
    /// What was stored.
    pub stored_bytes: u64,
    /// How large what it saved is.
    pub state_bytes: u64,
}

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        let figures = entry.figures;
        let built = figures.steps > 0;
        Self {
            id: entry.snapshot.to_string(),
            created_ms: entry.created_ms,
            steps: built.then_some(figures.steps),
            cached_steps: built.then_some(figures.cached_steps),
            build_ms: built.then_some(figures.build_ms),
            cold_build_ms: entry.cold_build_ms,
            larder_ms: Some(figures.start_ms + figures.end_ms),
            fetched_bytes: Some(figures.fetched_bytes),
            stored_bytes: entry.stored_bytes,
            state_bytes: entry.used_blocks * BLOCK_BYTES as u64,
        }
    }
}

impl Row {
    /// Of an archive. It says how long restoring took, and not how long it took to write itself.
    pub fn of_archive(id: ArchiveId, archive: &Archive) -> Self {
        let measured = &archive.measured;
        Self {
            id: id.to_string(),
            created_ms: archive.created_ms,
            build_ms: measured.build_with_ms.or(measured.build_without_ms),
            cold_build_ms: measured.build_without_ms,
            larder_ms: measured.restore_ms,
            stored_bytes: archive.statistics.stored_bytes,
            state_bytes: archive.statistics.blob_bytes,
            ..Self::default()
        }
    }

    /// How many of a hundred steps were in the cache.
    #[allow(clippy::cast_precision_loss)] // counts of steps
    fn hit_percent(&self) -> Option<f64> {
        let steps = self.steps.filter(|steps| *steps > 0)?;
        Some(self.cached_steps? as f64 * 100.0 / steps as f64)
    }

    /// For people: a dash is what is not known.
    pub fn cells(&self) -> [String; 10] {
        let hits = self.cached_steps.zip(self.steps);
        [
            day_and_time(self.created_ms),
            format!("{:.12}", self.id),
            said(hits.map(|(cached, all)| format!("{cached} of {all}"))),
            said(
                self.hit_percent()
                    .map(|percent| Unit::Percent.text(percent)),
            ),
            said(self.build_ms.map(seconds_of)),
            said(self.cold_build_ms.map(seconds_of)),
            said(self.larder_ms.map(seconds_of)),
            said(self.fetched_bytes.map(size)),
            size(self.stored_bytes),
            size(self.state_bytes),
        ]
    }

    /// What the cells hold.
    pub const HEADER: [&'static str; 10] = [
        "when", "saved", "cached", "hits", "build", "cold", "larder", "fetched", "stored", "state",
    ];
}

fn said(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// How much of what a store holds it had at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// The time: Unix time in milliseconds.
    pub at_ms: u64,
    /// The bytes.
    pub bytes: u64,
}

/// The growth of a store, by when it got each object and how large that is.
pub fn growth(objects: impl IntoIterator<Item = (u64, u64)>) -> Vec<Growth> {
    let mut objects: Vec<(u64, u64)> = objects.into_iter().collect();
    objects.sort_unstable();
    let mut bytes = 0;
    let mut curve: Vec<Growth> = Vec::new();
    for (at_ms, size) in objects {
        bytes += size;
        curve.push(Growth { at_ms, bytes });
    }
    let each = curve.len().div_ceil(GROWTH_MAX).max(1);
    let mut kept: Vec<Growth> = curve.into_iter().rev().step_by(each).collect();
    kept.reverse();
    kept
}

/// Lines that are drawn together.
struct Drawing {
    title: &'static str,
    unit: Unit,
    lines: &'static [Figure],
}

/// What a line is called, and what it shows of a job, where that is known.
type Figure = (&'static str, fn(&Row) -> Option<f64>);

const DRAWINGS: [Drawing; 4] = [
    Drawing {
        title: "Hit rate of each job",
        unit: Unit::Percent,
        lines: &[("steps from the cache", Row::hit_percent)],
    },
    Drawing {
        title: "Seconds of each job",
        unit: Unit::Milliseconds,
        lines: &[
            ("builds", |row| row.build_ms.map(float)),
            ("Larder", |row| row.larder_ms.map(float)),
            ("builds on an empty engine", |row| {
                row.cold_build_ms.map(float)
            }),
        ],
    },
    Drawing {
        title: "Bytes of each job",
        unit: Unit::Bytes,
        lines: &[
            ("fetched", |row| row.fetched_bytes.map(float)),
            ("stored", |row| Some(float(row.stored_bytes))),
        ],
    },
    Drawing {
        title: "Size of what each job saved",
        unit: Unit::Bytes,
        lines: &[("in use", |row| Some(float(row.state_bytes)))],
    },
];

/// Adds the line's history to a page.
pub(crate) fn add(rows: &[Row], page: &mut Html) {
    page.section("The line's history");
    if rows.is_empty() {
        page.paragraph("No job of this line has saved and told yet what it came to.");
        return;
    }
    for drawing in &DRAWINGS {
        drawing.add(rows, page);
    }
    page.figures(&Row::HEADER, rows.iter().map(Row::cells));
}

#[allow(clippy::cast_precision_loss)] // of a drawing
fn float(value: u64) -> f64 {
    value as f64
}

impl Drawing {
    /// Adds it to a page, unless nothing is known of it.
    fn add(&self, rows: &[Row], page: &mut Html) {
        let lines = self.lines.iter().map(|(name, figure)| Line {
            name,
            points: points(rows, *figure),
        });
        let lines: Vec<Line<'_>> = lines.filter(|line| !line.points.is_empty()).collect();
        if lines.is_empty() {
            return;
        }
        let last = rows.len() - 1;
        let ends = if last == 0 { vec![0] } else { vec![0, last] };
        let marks = ends.into_iter();
        let marks = marks.map(|at| (float(at as u64), day_and_time(rows[at].created_ms)));
        let chart = Chart {
            title: self.title,
            unit: self.unit,
            span: (0.0, float(last as u64)),
            marks: marks.collect(),
            lines,
        };
        let caption = format!("{}, the oldest on the left.", self.title);
        page.figure(&chart.svg(), &caption);
    }
}

/// A line's points: each job where the figure is known, by its place.
fn points(rows: &[Row], figure: fn(&Row) -> Option<f64>) -> Vec<(f64, f64)> {
    let all = rows.iter().enumerate();
    let known = all.filter_map(|(at, row)| Some((float(at as u64), figure(row)?)));
    known.collect()
}

/// Adds how the store grew.
pub(crate) fn add_growth(growth: &[Growth], page: &mut Html) {
    let (Some(first), Some(last)) = (growth.first(), growth.last()) else {
        return;
    };
    page.section("The store");
    let points = growth.iter().map(|at| (float(at.at_ms), float(at.bytes)));
    let marks = [first, last].map(|at| (float(at.at_ms), day_and_time(at.at_ms)));
    let chart = Chart {
        title: "What the store holds, by when it got it",
        unit: Unit::Bytes,
        span: (float(first.at_ms), float(last.at_ms)),
        marks: marks.into(),
        lines: vec![Line {
            name: "bytes in the store",
            points: points.collect(),
        }],
    };
    let caption = format!(
        "{} in the store, of all projects and lines, by when each object came; what was removed is not in it.",
        size(last.bytes)
    );
    page.figure(&chart.svg(), &caption);
    let rows = growth.iter();
    page.figures(
        &["when", "bytes"],
        rows.map(|at| [day_and_time(at.at_ms), size(at.bytes)]),
    );
}
