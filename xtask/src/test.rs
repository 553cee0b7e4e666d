//! `cargo xtask test`: formatting, lints, documentation and every test against real engines and servers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{engine, say};

/// Check formatting, lint, and run every test (root: engines, mounts and loop devices are real)
#[derive(clap::Args)]
pub struct Args {
    /// Passed on to `cargo test`: a test's name, or `-p` and a package
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

/// What all test binaries together reported.
#[derive(Default)]
struct Totals {
    binaries: u32,
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs the task.
pub fn run(args: &Args) -> Result<()> {
    let machine = engine::ready()?;
    step("fmt", &["--check"])?;
    step(
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
    step("doc", &["--workspace", "--no-deps", "--quiet"])?;
    let mut command = cargo("test");
    if !args
        .cargo
        .iter()
        .any(|word| word == "-p" || word == "--package")
    {
        command.arg("--workspace");
    }
    command
        .arg("--no-fail-fast")
        .args(&args.cargo)
        .env("LARDER_TEST_MOTO", &machine.moto_server)
        .env("LARDER_TEST_OLDER_ENGINE", &machine.older_engine)
        .env("LARDER_TEST_BASE", &machine.base_tar)
        // Engines share this machine's network and mounts: their tests take turns. The others are
        // quick enough not to mind.
        .env("RUST_TEST_THREADS", "1");
    let (totals, succeeded) = follow(command)?;
    say::line(format!(
        "\ntests: {} passed, {} failed, {} ignored, in {} binaries",
        totals.passed, totals.failed, totals.ignored, totals.binaries
    ));
    ensure!(succeeded && totals.failed == 0, "tests failed");
    ensure!(totals.passed > 0, "no test ran");
    Ok(())
}

fn step(subcommand: &str, arguments: &[&str]) -> Result<()> {
    let status = cargo(subcommand)
        .args(arguments)
        // Of these steps `doc` alone reads it.
        .env("RUSTDOCFLAGS", "--deny warnings")
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!(
            "`cargo {subcommand} {}` found something",
            arguments.join(" ")
        );
    }
    say::line(format!("cargo {subcommand}: clean"));
    Ok(())
}

/// Shows the tests' lines as they come and adds up their summaries.
fn follow(mut command: Command) -> Result<(Totals, bool)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo's output is not piped")?;
    let mut totals = Totals::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read cargo's output")?;
        totals.add(&line);
        say::line(&line);
    }
    Ok((totals, child.wait()?.success()))
}

impl Totals {
    /// `test result: ok. 12 passed; 0 failed; 0 ignored; …`
    fn add(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else {
            return;
        };
        self.binaries += 1;
        for part in summary.split(['.', ';']) {
            if let Some((count, what)) = part.trim().split_once(' ')
                && let Ok(count) = count.parse::<u64>()
            {
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.ignored += count,
                    _ => {}
                }
            }
        }
    }
}

fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .arg(subcommand)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

#[cfg(test)]
mod tests {
    use super::Totals;

    #[test]
    fn summaries_are_added_up() {
        let mut totals = Totals::default();
        totals.add("running 3 tests");
        totals.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.00s");
        totals.add("test result: ok. 5 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 1.10s");
        let Totals {
            binaries,
            passed,
            failed,
            ignored,
        } = totals;
        assert_eq!((binaries, passed, failed, ignored), (2, 7, 1, 3));
    }
}
