//! `cargo xtask bench`: measurements beside peers, written to docs/BENCHMARKS.md.

mod archive;
mod disk;
mod distribution;
mod first_save;
mod folder;
mod gc;
mod held;
mod measure;
mod memory;
mod plan;
mod rolling;
mod table;
mod volume;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use table::{circumstances, megabytes, publish_in, verdict};

/// Measure, and write the tables of docs/BENCHMARKS.md (root; the machine should be idle)
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    Rolling(rolling::Args),
    FirstSave(first_save::Args),
    Volume(volume::Args),
    Held(held::Args),
    Archive(archive::Args),
    Plan(plan::Args),
    Gc(gc::Args),
    Folder(folder::Args),
}

/// Runs the benchmark that was asked for.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.bench {
        Bench::Rolling(args) => rolling::run(args),
        Bench::FirstSave(args) => first_save::run(args),
        Bench::Volume(args) => volume::run(args),
        Bench::Held(args) => held::run(args),
        Bench::Archive(args) => archive::run(args),
        Bench::Plan(args) => plan::run(args),
        Bench::Gc(args) => gc::run(args),
        Bench::Folder(args) => folder::run(args),
    }
}
