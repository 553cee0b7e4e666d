//! `cargo xtask figures`: lines, functions and named closures of each crate, as the tidy test measures them.

use anyhow::{Context, Result};

use crate::{cargo, process, say};

/// Show lines, functions and named closures of each crate
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the task.
pub(crate) fn run(_: &Args) -> Result<()> {
    let text = process::read(
        cargo::command("test")
            .args(["--quiet", "--package", "xtask", "--test", "tidy", "--"])
            .args(["--ignored", "--exact", "figures::shown", "--nocapture"]),
    )?;
    let begin = text.find("crate ").context("the test shows no table")?;
    let table = text[begin..].split("\n\n").next();
    say::line(table.unwrap_or_default());
    Ok(())
}
