//! What can be typed to look after a store.

use std::path::PathBuf;

use clap::Args;

use super::{Where, filled};

/// Whether the store is looked after by the way.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What to restore and save")]
pub struct Care {
    /// Collect garbage after a save, now and then, in the background: auto, or off [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub gc: Option<String>,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // each is an option
pub struct Ls {
    /// List archives of images (`larder save`) instead of snapshots.
    #[arg(long)]
    pub archives: bool,
    /// List those of every project, not only of this one.
    #[arg(long, short)]
    pub all: bool,
    /// List those of this job's own lineage: its job and its scope.
    #[arg(long)]
    pub lineage: bool,
    /// How many to list, the newest first; 0 for all [default: 50, with --json all]
    #[arg(long, short = 'n', value_name = "N")]
    pub limit: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// The rules decide which snapshots and archives of this project stay. What nothing names any more is removed a
/// day later, whatever project it was of. It may run beside any number of jobs.
#[derive(Debug, Args)]
pub struct Gc {
    /// Keep so many of each lineage, the newest [default: 8]
    #[arg(long, value_name = "N")]
    pub keep_last: Option<usize>,
    /// Remove what the store got longer ago than this: 30d, 12weeks [default: 60d]
    #[arg(long, value_name = "PERIOD")]
    pub older_than: Option<String>,
    /// Remove those of pull requests, tags, commits and events that saved nothing for so long [default: 14d]
    #[arg(long, value_name = "PERIOD")]
    pub closed_after: Option<String>,
    /// File with the scopes that still exist, one a line, such as branch/main or pull/7; - is standard input.
    /// Those of all others go; scopes that were named by hand stay
    #[arg(long, value_name = "FILE")]
    pub scopes_alive: Option<PathBuf>,
    /// Remove until the store has at most this size, first what follows in a lineage, then the heads that
    /// are oldest
    #[arg(long, value_name = "SIZE")]
    pub max_bytes: Option<String>,
    /// How long what nothing names stays. Jobs that last longer than half of it may lose their save; 0s only
    /// where no job uses the store now [default: 24h]
    #[arg(long, value_name = "PERIOD")]
    pub grace: Option<String>,
    /// Apply the rules to every project, not only to this one.
    #[arg(long, short)]
    pub all: bool,
    /// Change nothing, and say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// Exit code 1 if something is damaged.
#[derive(Debug, Args)]
pub struct Verify {
    /// Read everything and compare every byte with its digests, instead of looking at sizes alone.
    #[arg(long)]
    pub data: bool,
    /// Remove the snapshots and archives that cannot be used any more.
    #[arg(long)]
    pub repair: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// Nothing is asked. Without ids, those of --scope or --job are removed, of this project.
#[derive(Debug, Args)]
pub struct Rm {
    /// Ids of snapshots or archives, as `larder ls` shows them
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Change nothing, and say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// The newest snapshots and archives of a scope, of every job or of --job, become the heads of the same
/// lineages of another scope.
#[derive(Debug, Args)]
pub struct Promote {
    /// Scope to take, such as pull/7
    #[arg(value_name = "FROM-SCOPE", value_parser = filled())]
    pub from: String,
    /// Scope to give it to, such as branch/main; main means branch/main too, unless a scope has just that name
    #[arg(value_name = "TO-SCOPE", value_parser = filled())]
    pub to: String,
    /// Change nothing, and say what would be promoted.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// Copies snapshots and archives with all that they name: the newest of each lineage of this project, of
/// --scope and --job if they are given. Every byte is verified. A copy that was interrupted goes on where it was.
#[derive(Debug, Args)]
pub struct Cp {
    /// Store to copy to
    #[arg(value_name = "TO-URL", value_parser = filled())]
    pub to: String,
    /// Ids of snapshots or archives, as `larder ls` shows them
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Copy those of every project, not only of this one.
    #[arg(long, short)]
    pub all: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}
