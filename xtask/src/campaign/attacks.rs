//! `cargo xtask campaign attacks`: what somebody may bring, by the thousand.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use xtask_attacks::{Kind, Plan};
use xtask_tools::room;

use crate::bench::{circumstances, publish_in};
use crate::job::larder;
use crate::say;

/// Attack with hostile stores, volumes, checkouts, settings, states and registries, and count what holds
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    larder: larder::Which,
    /// How many
    #[arg(long, default_value_t = 2000)]
    attacks: u64,
    /// The number of the first one: `--first N --attacks 1` makes one again
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// With this kind alone
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ends after so many minutes
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Prints the table without writing docs/RELIABILITY.md
    #[arg(long)]
    dry_run: bool,
    /// The working directory, where this runs on a machine of its own
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

/// Runs the campaign.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(folder) = &args.inside {
        return attack(args, folder);
    }
    let (_, place, _) = larder::place(&args.larder, false)?;
    let forge = larder::example(&args.larder, "larder-volume", "forge")?;
    std::fs::copy(forge, place.path().join("forge"))?;
    room::enter(place.path())
}

fn attack(args: &Args, folder: &std::path::Path) -> Result<()> {
    let (table, broken) = xtask_attacks::run(&Plan {
        program: &folder.join("larder"),
        forge: &folder.join("forge"),
        folder,
        kind: args.kind,
        attacks: args.attacks,
        first: args.first,
        seed: args.seed,
        until: Instant::now() + Duration::from_secs(args.minutes * 60),
    })?;
    say::line(&table);
    if !args.dry_run {
        let text = format!("{}\n{table}", circumstances()?);
        publish_in("RELIABILITY.md", "attacks", &text)?;
    }
    ensure!(broken == 0, "{broken} attacks succeeded");
    Ok(())
}
