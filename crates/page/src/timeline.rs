//! A job's phases and the steps of its builds, each as a bar from its beginning to its end.

use larder_local::people::{seconds, seconds_of};
use larder_model::course::Phase;

use crate::chart::add as write;
use crate::course::Course;
use crate::html::{Html, escaped};

const WIDTH: f64 = 900.0;
/// Where bars are: what each is called stands before, how long it took behind.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 820.0;
const ROW: f64 = 22.0;
/// What fits before the bars.
const NAME_CHARS: usize = 46;
/// Steps of all builds that are shown; more make no picture.
const STEPS_MAX: usize = 50;
/// A bar is seen, however short it is.
const BAR_MIN: f64 = 2.0;
/// Marks along the time.
const MARKS: u32 = 5;

/// Where a bar belongs, which is how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A phase of Larder's: filled.
    Ours,
    /// The wrapped command: open.
    Command,
    /// A step that ran: hatched.
    Ran,
    /// A step from the cache: dotted.
    Cached,
}

impl Kind {
    fn said(self) -> &'static str {
        match self {
            Self::Ours => "Larder",
            Self::Command => "command",
            Self::Ran => "step that ran",
            Self::Cached => "step from the cache",
        }
    }

    fn look(self) -> &'static str {
        match self {
            Self::Ours => "class=\"bar a full\"",
            Self::Command => "class=\"bar c open\"",
            Self::Ran => "class=\"bar b\" fill=\"url(#hatch)\"",
            Self::Cached => "class=\"bar b open\" stroke-dasharray=\"2 2\"",
        }
    }
}

struct Bar {
    name: String,
    at_ms: f64,
    ms: f64,
    kind: Kind,
}

impl Bar {
    fn end_ms(&self) -> f64 {
        self.at_ms + self.ms
    }

    fn took(&self) -> String {
        match self.kind {
            Kind::Cached => "cached".to_owned(),
            _ => seconds(self.ms),
        }
    }
}

/// Adds the job's course to a page.
pub(crate) fn add(job: &Course, page: &mut Html) {
    let bars = bars(job);
    let end = bars.iter().map(Bar::end_ms).fold(0.0, f64::max);
    if end <= 0.0 {
        return;
    }
    page.section("Timeline");
    let ours = bars.iter().filter(|bar| bar.kind == Kind::Ours);
    let ours: f64 = ours.map(|bar| bar.ms).sum();
    let caption = format!(
        "{} in all, of which {} were Larder's own (filled bars). Open: the command. Hatched: steps of builds that \
         ran. Dotted: steps from the cache.{}",
        seconds(end),
        seconds(ours),
        left_out(job)
    );
    page.figure(&svg(&bars, end), &caption);
    let rows = bars.iter().map(|bar| {
        [
            bar.name.clone(),
            bar.kind.said().to_owned(),
            seconds(bar.at_ms),
            seconds(bar.ms),
        ]
    });
    page.figures(&["what", "of", "began at", "took"], rows);
}

/// What the picture does not have.
fn left_out(job: &Course) -> String {
    let all: u64 = job.builds.iter().map(|build| build.steps).sum();
    let shown: usize = job.builds.iter().map(|build| build.course.len()).sum();
    let built: u64 = job.builds.iter().map(|build| build.ms).sum();
    if all == 0 || all <= shown.min(STEPS_MAX) as u64 {
        return String::new();
    }
    format!(
        " {all} steps were counted, in {} of building; the longest are shown.",
        seconds_of(built)
    )
}

/// All of them in order: of steps that began in the same phase, after it.
fn bars(job: &Course) -> Vec<Bar> {
    let mut bars: Vec<Bar> = job.phases.iter().map(of_phase).collect();
    let mut steps: Vec<Bar> = of_builds(job);
    steps.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    steps.truncate(STEPS_MAX);
    bars.extend(steps);
    bars.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    bars
}

fn of_phase(phase: &Phase) -> Bar {
    Bar {
        name: phase.name.clone(),
        at_ms: phase.at_ms,
        ms: phase.ms,
        kind: if phase.name == "command" {
            Kind::Command
        } else {
            Kind::Ours
        },
    }
}

#[allow(clippy::cast_precision_loss)] // of a job's milliseconds
fn of_builds(job: &Course) -> Vec<Bar> {
    let steps = job.builds.iter().flat_map(|build| &build.course);
    let bars = steps.map(|step| Bar {
        name: step.name.clone(),
        at_ms: step.started_ms.saturating_sub(job.started_ms) as f64,
        ms: step.ms as f64,
        kind: if step.cached { Kind::Cached } else { Kind::Ran },
    });
    bars.collect()
}

#[allow(clippy::cast_precision_loss)] // some dozen rows
fn svg(bars: &[Bar], end: f64) -> String {
    let height = ROW * (bars.len() as f64 + 1.5);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"When each phase and each step ran\">\
         <defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
         <path class=\"b\" d=\"M0 6L6 0M-1 1L1 -1M5 7L7 5\"/></pattern></defs>"
    );
    let bottom = ROW * bars.len() as f64 + 6.0;
    for (at, text) in time_marks(end) {
        let x = place_of(at, end);
        write(
            &mut svg,
            format_args!(
                "<path class=\"rule\" d=\"M{x:.1} 0V{bottom:.1}\"/>\
                 <text class=\"faint\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                bottom + 16.0
            ),
        );
    }
    for (number, bar) in bars.iter().enumerate() {
        row(bar, ROW * number as f64 + 4.0, end, &mut svg);
    }
    svg + "</svg>"
}

fn row(bar: &Bar, y: f64, end: f64, svg: &mut String) {
    let (from, to) = (place_of(bar.at_ms, end), place_of(bar.end_ms(), end));
    let width = (to - from).max(BAR_MIN);
    let (look, took) = (bar.kind.look(), bar.took());
    let (name, whole) = (escaped(&short(&bar.name)), escaped(&bar.name));
    let baseline = y + 12.0;
    write(
        svg,
        format_args!(
            "<g><title>{whole}: {took}</title>\
             <text x=\"{:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{name}</text>\
             <rect {look} x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"15\"/>\
             <text class=\"faint\" x=\"{:.1}\" y=\"{baseline:.1}\">{took}</text></g>",
            LEFT - 10.0,
            from + width + 6.0
        ),
    );
}

/// A name that fits, with the end that tells it from others.
fn short(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS {
        return name.to_owned();
    }
    let kept: String = name.chars().take(NAME_CHARS - 1).collect();
    format!("{kept}…")
}

fn place_of(at_ms: f64, end: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * at_ms / end
}

/// What stands along the time from a job's beginning to its end.
pub(crate) fn time_marks(end: f64) -> Vec<(f64, String)> {
    let marks = (0..=MARKS).map(|number| {
        let at = end * f64::from(number) / f64::from(MARKS);
        (at, seconds(at))
    });
    marks.collect()
}
