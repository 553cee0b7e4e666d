//! `cargo xtask campaign`: bad days by the thousand, for docs/RELIABILITY.md. Not part of CI.

mod attacks;
mod faults;
mod growth;
mod job;
mod kills;
mod lane;
mod machine;
mod store;
mod writers;

use anyhow::Result;
use clap::Subcommand;

/// Break the program in many ways and count what holds: the tables of docs/RELIABILITY.md (root)
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    campaign: Campaign,
}

#[derive(Subcommand)]
enum Campaign {
    Attacks(attacks::Args),
    Kills(kills::Args),
    Faults(faults::Args),
    Growth(growth::Args),
    Writers(writers::Args),
}

/// Runs the campaign that was asked for.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.campaign {
        Campaign::Attacks(args) => attacks::run(args),
        Campaign::Kills(args) => kills::run(args),
        Campaign::Faults(args) => faults::run(args),
        Campaign::Growth(args) => growth::run(args),
        Campaign::Writers(args) => writers::run(args),
    }
}
