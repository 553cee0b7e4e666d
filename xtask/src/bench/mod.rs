//! `cargo xtask bench`: measurements beside peers, written to docs/BENCHMARKS.md.

mod disk;
mod first_save;
mod kept;
mod lane;
mod larder;
mod registry;
mod rolling;
mod table;
mod volume;

use anyhow::{Context, Result};
use clap::Subcommand;
use tempfile::TempDir;

use crate::engine::Machine;
pub use table::megabytes;

/// Measure, and write the tables of docs/BENCHMARKS.md (root; the machine should be idle)
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    Rolling(rolling::Args),
    FirstSave(first_save::Args),
    Volume(volume::Args),
}

/// A folder for one benchmark, gone afterwards unless it is to be kept.
fn working_folder(machine: &Machine, keep: bool) -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&machine.cache);
    let mut folder = folder.context("cannot make a working folder")?;
    folder.disable_cleanup(keep);
    Ok(folder)
}

/// Runs the benchmark that was asked for.
pub fn run(args: &Args) -> Result<()> {
    match &args.bench {
        Bench::Rolling(args) => rolling::run(args),
        Bench::FirstSave(args) => first_save::run(args),
        Bench::Volume(args) => volume::run(args),
    }
}
