//! Tables in docs/BENCHMARKS.md, each between two markers, with what is needed to judge it.

use std::fmt::{Display, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::engine::{self, Machine};
use crate::job::larder;
use crate::workplace::Workplace;
use crate::{process, say};
use xtask_tools::wire::Line;

/// What all benchmarks have in common.
#[derive(clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub larder: larder::Which,
    /// Prints the table without writing docs/BENCHMARKS.md
    #[arg(long)]
    dry_run: bool,
    /// Keeps the working folder
    #[arg(long)]
    pub keep: bool,
}

/// How often something is measured.
#[derive(clap::Args)]
pub(super) struct Rounds {
    /// Measured rounds; the table shows medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
}

impl Common {
    /// Where it is measured, as [`larder::place`] has it.
    pub(super) fn place(&self) -> Result<(Machine, Workplace, PathBuf)> {
        larder::place(&self.larder, self.keep)
    }

    /// Says a table with its circumstances, and writes it where docs/BENCHMARKS.md has the one of this name.
    pub(super) fn show(&self, name: &str, table: &str) -> Result<()> {
        let text = format!("{}\n{table}", circumstances()?);
        say::line(&text);
        if self.dry_run {
            return Ok(());
        }
        publish_in("BENCHMARKS.md", name, &text)
    }

    /// The same; a store behind a line has a table of its own.
    pub(super) fn show_by_distance(
        &self,
        name: &str,
        far: Option<Line>,
        table: &str,
    ) -> Result<()> {
        let suffix = if far.is_some() { "-far" } else { "" };
        self.show(&format!("{name}{suffix}"), table)
    }
}

/// The middle value; of an even count, the mean of the two in the middle.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Bytes as a reader wants them: to the kilobyte, up to 4 TB.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

/// Machine, versions, command and date.
pub(crate) fn circumstances() -> Result<String> {
    let processor = first_field("/proc/cpuinfo", "model name")?;
    let memory = first_field("/proc/meminfo", "MemTotal")?;
    let cores = std::thread::available_parallelism()?;
    let kernel = process::read(Command::new("uname").arg("-sr"))?;
    let date = process::read(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?;
    // What follows is where this run of it happens to be.
    let typed = std::env::args().skip(1);
    let arguments: Vec<String> = typed.take_while(|word| word != "--inside").collect();
    let mut text = format!(
        "- Machine: {cores} cores ({processor}), memory {memory}, {kernel}\n- Versions: larder {}",
        env!("CARGO_PKG_VERSION")
    );
    for (_, version) in engine::versions() {
        write!(text, "; {}", version.unwrap_or_default())?;
    }
    write!(
        text,
        "\n- Command: `cargo xtask {}`\n- Date: {date}\n",
        arguments.join(" ")
    )?;
    Ok(text)
}

/// Replaces what stands between the markers of `name` in a file of the folder docs.
pub(crate) fn publish_in(document: &str, name: &str, content: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(document);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {name}:{edge} -->\n"));
    let parts = text
        .split_once(&begin)
        .and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    ensure!(
        parts.is_some(),
        "{} lacks the markers of `{name}`",
        path.display()
    );
    let (head, tail) = parts.unwrap_or_default();
    fs::write(&path, format!("{head}{begin}\n{content}\n{end}{tail}"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The table of ratios that Larder promises: of what, as it was measured, and at most which.
pub(super) fn promises<T: Display>(
    heading: &str,
    rows: impl IntoIterator<Item = (T, f64, f64)>,
) -> String {
    let mut text = format!("| {heading} | measured | bound | |\n|---|--:|--:|---|\n");
    for (what, ratio, bound) in rows {
        let verdict = verdict(ratio <= bound);
        let _ = writeln!(text, "| {what} | {ratio:.2} | {bound} | {verdict} |");
    }
    text
}

/// How a promise's row ends.
pub(crate) fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "**missed**" }
}

fn first_field(file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_default();
    Ok(line
        .split_once(':')
        .map_or_else(String::new, |(_, value)| value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn median_of_odd_and_even_counts() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
