//! `cargo xtask campaign`: many bad things at random moments, counted.

mod faults;
mod lane;
mod machine;
mod proxy;
mod s3;

use anyhow::Result;
use clap::Subcommand;

/// Attack jobs at random moments, and write the tables of docs/RELIABILITY.md (root)
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    campaign: Campaign,
}

#[derive(Subcommand)]
enum Campaign {
    Faults(faults::Args),
}

/// Runs the campaign that was asked for.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.campaign {
        Campaign::Faults(args) => faults::run(args),
    }
}
