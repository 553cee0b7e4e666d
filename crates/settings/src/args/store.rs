//! What can be typed to look after a store.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
    /// Store at most so much anew, so that packs can go of which little is still named, and volumes that lie in many
    /// packs lie in few; or off [default: 4GiB, within 30 s of the begin of the collection]
    #[arg(long, value_name = "SIZE")]
    pub compact: Option<String>,
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
    /// Encrypt in that store with this key, or with none; a file, or env:NAME for a variable that holds it [default: the
    /// key of this store]
    #[arg(long, value_name = "FILE|env:NAME|none", value_parser = filled())]
    pub to_encrypt_key: Option<String>,
    /// Copy those of every project, not only of this one.
    #[arg(long, short)]
    pub all: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// Prints the ids of the keys that open the store. Objects are encrypted with a key that the store holds, encrypted with
/// each of these keys; so nothing else is written anew.
#[derive(Debug, Args)]
#[command(after_help = "\
To change a key:
  larder keygen --encrypt new.key
  larder rekey --encrypt-key old.key --add new.key     both open the store
  larder rekey --encrypt-key new.key --only            once all jobs have it")]
pub struct Rekey {
    /// Let this key open the store, too: a file, or env:NAME for a variable that holds it
    #[arg(long, value_name = "FILE|env:NAME", value_parser = filled())]
    pub add: Option<String>,
    /// Let no key open the store but that of --encrypt-key (and --add).
    #[arg(long)]
    pub only: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// A cloud, by what its own users call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cloud {
    S3,
    Gcs,
    Azure,
}

/// Prints what to allow the credentials of a job, as JSON in that cloud's own form. A trusted job reads, writes and removes
/// what is in the store; an untrusted one reads what its project saved, and saves in its own scope alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  larder policy s3 --store s3://ci-cache/larder > trusted.json
  larder policy s3 --store s3://ci-cache/larder --project github.com/shop/web --untrusted --scope pull/7
An untrusted job may save for engines that trusted jobs of the project have saved for. In the output for gcs, PRINCIPAL
stands for whoever gets the policy.")]
pub struct Policy {
    /// Whose words to use
    pub cloud: Cloud,
    /// For a job that is not trusted, of this scope
    #[arg(long)]
    pub untrusted: bool,
    #[command(flatten)]
    pub which: Where,
}
