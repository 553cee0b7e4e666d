//! `cargo xtask campaign`: bad days by the thousand, for docs/RELIABILITY.md. Not part of CI.

mod job;
mod kills;
mod random;
mod room;
mod store;
mod traces;

use anyhow::Result;
use clap::Subcommand;

/// Break the program in many ways and count what holds (root)
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    campaign: Campaign,
}

#[derive(Subcommand)]
enum Campaign {
    Kills(kills::Args),
}

/// Runs the campaign that was asked for.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.campaign {
        Campaign::Kills(args) => kills::run(args),
    }
}
