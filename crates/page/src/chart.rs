//! Lines over time or over jobs, as SVG.

use std::fmt::Write as _;

use larder_local::people::{seconds, size};

use crate::html::escaped;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 240.0;
/// Where the lines are: left, right, top, bottom.
const PLOT: [f64; 4] = [90.0, 880.0, 34.0, 204.0];
/// Marks on the axis of values.
const STEPS: u32 = 4;
/// Each line has a dash and a mark of its own, besides a colour.
const DASHES: [&str; 3] = ["", "8 4", "2 4"];
const CLASSES: [&str; 3] = ["a", "b", "c"];
/// Of more points the marks would be a second line.
const MARKS_MAX: usize = 40;

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Bytes,
    Percent,
}

impl Unit {
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Milliseconds => seconds(value),
            #[allow(clippy::cast_sign_loss)] // a count
            Self::Bytes => size(value as u64),
            Self::Percent => format!("{value:.0} %"),
        }
    }

    /// Where the axis ends: a value that looks round, at least `max`.
    fn end(self, max: f64) -> f64 {
        let (base, steps): (f64, &[f64]) = match self {
            Self::Percent => return 100.0,
            Self::Milliseconds => (10.0, &[1.0, 2.0, 4.0, 8.0, 10.0]),
            Self::Bytes => (1024.0, &[1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0]),
        };
        let max = max.max(1.0);
        let unit = base.powf(max.log(base).floor());
        let ends = steps.iter().map(|step| step * unit);
        let mut fitting = ends.filter(|end| *end >= max);
        fitting.next().unwrap_or(max)
    }
}

/// A line: what it shows, and its points.
pub(crate) struct Line<'a> {
    pub name: &'a str,
    pub points: Vec<(f64, f64)>,
}

/// A drawing of lines.
pub(crate) struct Chart<'a> {
    pub title: &'a str,
    pub unit: Unit,
    /// Where the other axis begins and ends.
    pub span: (f64, f64),
    /// What stands along it.
    pub marks: Vec<(f64, String)>,
    pub lines: Vec<Line<'a>>,
}

impl Chart<'_> {
    pub(crate) fn svg(&self) -> String {
        let values = self.lines.iter().flat_map(|line| &line.points);
        let end = self
            .unit
            .end(values.map(|(_, value)| *value).fold(0.0, f64::max));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(self.title)
        );
        self.axes(end, &mut svg);
        for (number, line) in self.lines.iter().enumerate() {
            self.line(number, line, end, &mut svg);
        }
        svg + "</svg>"
    }

    /// The rules with their values, and what stands along the other axis.
    fn axes(&self, end: f64, svg: &mut String) {
        let [left, right, _, bottom] = PLOT;
        for step in 0..=STEPS {
            let value = end * f64::from(step) / f64::from(STEPS);
            let y = height_of(value, end);
            let text = self.unit.text(value);
            add(
                svg,
                format_args!(
                    "<path class=\"rule\" d=\"M{left} {y:.1}H{right}\"/>\
                     <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                    left - 8.0,
                    y + 4.0
                ),
            );
        }
        for (at, text) in &self.marks {
            let x = self.place_of(*at);
            let anchor = anchor(x);
            let text = escaped(text);
            let y = bottom + 20.0;
            add(
                svg,
                format_args!(
                    "<text class=\"faint\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
                ),
            );
        }
    }

    /// A line, its marks, and what it is called above the drawing.
    fn line(&self, number: usize, line: &Line<'_>, end: f64, svg: &mut String) {
        let place = number % DASHES.len();
        let (class, dash) = (CLASSES[place], DASHES[place]);
        let points: Vec<(f64, f64)> = line
            .points
            .iter()
            .map(|(at, value)| (self.place_of(*at), height_of(*value, end)))
            .collect();
        let mut path = String::new();
        for (x, y) in &points {
            let to = if path.is_empty() { 'M' } else { 'L' };
            add(&mut path, format_args!("{to}{x:.1} {y:.1}"));
        }
        add(
            svg,
            format_args!("<path class=\"line {class}\" stroke-dasharray=\"{dash}\" d=\"{path}\"/>"),
        );
        let each = points.len().div_ceil(MARKS_MAX).max(1);
        for (x, y) in points.iter().rev().step_by(each) {
            svg.push_str(&mark(place, *x, *y));
        }
        #[allow(clippy::cast_precision_loss)] // there are three
        let x = PLOT[0] + 230.0 * number as f64;
        let sample = format!("M{x:.1} 14h40");
        add(
            svg,
            format_args!(
                "<path class=\"line {class}\" stroke-dasharray=\"{dash}\" d=\"{sample}\"/>"
            ),
        );
        svg.push_str(&mark(place, x + 20.0, 14.0));
        let name = escaped(line.name);
        add(
            svg,
            format_args!("<text x=\"{:.1}\" y=\"18\">{name}</text>", x + 48.0),
        );
    }

    fn place_of(&self, at: f64) -> f64 {
        let [left, right, ..] = PLOT;
        let (first, last) = self.span;
        if last <= first {
            return f64::midpoint(left, right);
        }
        left + (right - left) * (at - first) / (last - first)
    }
}

/// Text at an end of the axis stays in the drawing.
fn anchor(x: f64) -> &'static str {
    let [left, right, ..] = PLOT;
    if x < left + 40.0 {
        "start"
    } else if x > right - 40.0 {
        "end"
    } else {
        "middle"
    }
}

fn height_of(value: f64, end: f64) -> f64 {
    let [_, _, top, bottom] = PLOT;
    bottom - (bottom - top) * value / end
}

/// A circle, a square or a triangle.
fn mark(place: usize, x: f64, y: f64) -> String {
    let class = CLASSES[place];
    match place {
        0 => format!("<circle class=\"mark {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"),
        1 => format!(
            "<rect class=\"mark {class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\"/>",
            x - 3.5,
            y - 3.5
        ),
        _ => format!(
            "<path class=\"mark {class}\" d=\"M{:.1} {:.1}l4 7h-8z\"/>",
            x,
            y - 4.5
        ),
    }
}

pub(crate) fn add(to: &mut String, text: std::fmt::Arguments<'_>) {
    to.write_fmt(text).expect("writing to a string");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_value() {
        for (unit, max, end) in [
            (Unit::Milliseconds, 0.0, "0.0 s"),
            (Unit::Milliseconds, 1900.0, "2.0 s"),
            (Unit::Milliseconds, 43_000.0, "80.0 s"),
            (Unit::Bytes, 3e6, "4.00 MiB"),
            (Unit::Bytes, 1.5e9, "4.00 GiB"),
            (Unit::Percent, 3.0, "100 %"),
        ] {
            assert_eq!(unit.text(unit.end(max)), end);
            assert!(unit.end(max) >= max);
        }
    }
}
