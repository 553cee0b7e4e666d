//! `cargo xtask test`: formatting, lints, documentation and every test against real engines and servers.

mod binaries;
pub(crate) mod figures;
mod lanes;
mod outcome;

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::{cargo, engine, say};
use lanes::Environment;
use outcome::{Outcome, Totals};

/// How many of the slowest tests are named at the end.
const SLOWEST_SHOWN: usize = 15;

/// Check formatting, lint, and run every test (root: engines, mounts and loop devices are real)
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the tests of this package
    #[arg(short, long)]
    package: Vec<String>,
    /// Only the tests in the file or folder `tests/NAME` of a package
    #[arg(long, value_name = "NAME")]
    test: Vec<String>,
    /// Only tests with this in their name
    filter: Option<String>,
    /// Passed on to the test programs
    #[arg(last = true)]
    more: Vec<String>,
}

impl Args {
    /// The whole suite.
    fn is_all(&self) -> bool {
        self.package.is_empty() && self.test.is_empty() && self.filter.is_none()
    }

    /// What a test program is told.
    fn to_programs(&self) -> impl Iterator<Item = &String> {
        self.filter.iter().chain(&self.more)
    }
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let begin = Instant::now();
    let machine = engine::ready()?;
    let mut steps = Steps(Vec::new());
    steps.cargo("fmt", &["--check"])?;
    steps.cargo(
        "clippy",
        &[
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ],
    )?;
    steps.cargo("doc", &["--workspace", "--no-deps", "--quiet"])?;
    let binaries = steps.timed("building the tests", || binaries::build(args))?;
    let programs = engine::link_programs()?;
    let environment = Environment::new(&machine, programs.path());
    let outcomes = steps.timed("running the tests", || {
        lanes::run(&binaries, args, &environment)
    })?;
    if args.is_all() {
        steps.cargo("test", &["--doc", "--workspace", "--quiet"])?;
    }
    say::line(steps.table());
    say::line(slowest(&outcomes));
    let totals: Totals = outcomes.iter().map(Outcome::totals).sum();
    say::line(format!(
        "{:8.1} s  all of it\n",
        begin.elapsed().as_secs_f64()
    ));
    // Alone on its line, for those who read the end of a log.
    say::line(format!("tests: {totals}"));
    ensure!(outcomes.iter().all(Outcome::passed), "tests failed");
    ensure!(totals.passed > 0, "no test ran");
    Ok(())
}

/// What was done before and beside the tests, with its seconds.
struct Steps(Vec<(String, f64)>);

impl Steps {
    fn timed<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let begin = Instant::now();
        let made = work()?;
        self.0
            .push((what.to_owned(), begin.elapsed().as_secs_f64()));
        Ok(made)
    }

    fn cargo(&mut self, subcommand: &str, arguments: &[&str]) -> Result<()> {
        let name = format!("cargo {subcommand}");
        self.timed(&name, || {
            let status = cargo::command(subcommand)
                .args(arguments)
                // Of these steps `doc` alone reads it.
                .env("RUSTDOCFLAGS", "--deny warnings")
                .status()
                .context("cannot start cargo")?;
            ensure!(
                status.success(),
                "`{name} {}` found something",
                arguments.join(" ")
            );
            Ok(())
        })?;
        say::line(format!("{name}: clean"));
        Ok(())
    }

    fn table(&self) -> String {
        let rows = self.0.iter();
        let rows = rows.map(|(what, seconds)| format!("\n{seconds:8.1} s  {what}"));
        rows.collect()
    }
}

/// The tests, and test programs that ran whole, that took longest.
fn slowest(outcomes: &[Outcome]) -> String {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let rows = sorted.iter().take(SLOWEST_SHOWN);
    let rows = rows.map(|outcome| format!("\n{:8.1} s  {}", outcome.seconds, outcome.name));
    format!("\nthe slowest:{}", rows.collect::<String>())
}
