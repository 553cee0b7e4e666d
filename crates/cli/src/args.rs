//! What can be typed. Nothing here is looked up or checked: see [`crate::settings`].

// These comments are the help text, for a terminal: no Markdown in them.
#![allow(clippy::doc_markdown)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Give a CI job a Docker engine that remembers.
///
/// Larder starts a Docker engine whose whole state (images, layers, build cache, cache mounts) is
/// the one that the last job left. The state is fetched lazily, block by block, from any object
/// store; when the job ends, only the blocks that changed go back.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    /// Print warnings and errors only.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  larder run --store s3://ci-cache/larder -- docker build -t app .
  larder up --env-file \"$GITHUB_ENV\"     then steps with docker, then: larder down

Settings come from options, then LARDER_* variables, then larder.toml.
Exit codes: 0 done, 1 failed, 2 wrong input, 3 the machine lacks something; `run` passes on the
exit code of its command.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a command with an engine that remembers: up, the command, down.
    Run(Run),
    /// Start an engine that remembers, in the background.
    Up(Up),
    /// Save what the job changed, and end the engine.
    Down(Down),
    /// Say what runs on this machine.
    Status(Status),
    /// List the snapshots of a store.
    Ls(Ls),
    /// Print a completion script for a shell.
    Completions(Completions),
    /// Print the manual page.
    Man(Man),
    /// The background process; its settings come on standard input.
    #[command(name = "__serve", hide = true)]
    Serve,
}

/// Options that say which state is meant; all of them can stand in LARDER_* variables and in
/// larder.toml too.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What to restore and save")]
pub struct Where {
    /// Where snapshots rest: file:///folder, s3://bucket/prefix, gs://bucket/prefix or
    /// az://container/prefix [default: a folder in the user's cache folder]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Folder of this machine's part: the sparse file, the session [default: /var/lib/larder/state]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// File with settings [default: larder.toml in this folder or above it, up to the repository]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Project, shared by all jobs of a repository [default: its git remote, or the folder's name]
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Job; each has its own line of snapshots [default: the CI's job name, or "default"]
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// Whose changes these are [default: the branch, or pull/N in a pull request]
    #[arg(long, value_name = "NAME")]
    pub scope: Option<String>,
    /// Scopes to try next when this one has no snapshot, in order [default: the pull request's
    /// target, the default branch]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub fallback: Option<Vec<String>>,
}

/// Options of the engine and its volume.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine and volume")]
pub struct How {
    /// How the engine stands beside the machine's own: auto, takeover or private [default: auto]
    #[arg(long, value_name = "SHAPE")]
    pub engine: Option<String>,
    /// Where the engine keeps images: overlay2 or containerd [default: as this version of Docker
    /// does: overlay2 before 29]
    #[arg(long, value_name = "STORE")]
    pub image_store: Option<String>,
    /// Size of a new volume; it is sparse, so this is a bound and costs nothing [default: 64GiB]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Build cache to keep at most; the least recently used is dropped before saving [default: a
    /// third of the volume]
    #[arg(long, value_name = "SIZE")]
    pub keep: Option<String>,
    /// Save named volumes too. They often hold databases and their secrets.
    #[arg(long)]
    pub keep_volumes: bool,
    /// Fail where Larder would warn and go on without the cache.
    #[arg(long)]
    pub strict: bool,
}

/// `larder run`
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub how: How,
    /// Where this machine lacks what Larder needs, run the command on the machine's own engine.
    #[arg(long)]
    pub optional: bool,
    /// Write a report of both halves of the job to a file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The command; DOCKER_HOST is set for it.
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub command: Vec<std::ffi::OsString>,
}

/// `larder up`
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub how: How,
    /// Append DOCKER_HOST=… to a file, as CI systems want it ($GITHUB_ENV, dotenv).
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Leave the docker command line's current context as it is.
    #[arg(long)]
    pub no_context: bool,
    /// Write a report to a file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `larder down`
#[derive(Debug, Args)]
pub struct Down {
    #[command(flatten)]
    pub which: Where,
    /// Save nothing.
    #[arg(long)]
    pub discard: bool,
    /// Fail if nothing could be saved.
    #[arg(long)]
    pub strict: bool,
    /// Write a report of the whole job to a file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `larder status`
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub which: Where,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `larder ls`
#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    pub which: Where,
    /// Snapshots of every project, not only of this one.
    #[arg(long, short)]
    pub all: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `larder completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: Shell,
}

/// `larder man`
#[derive(Debug, Args)]
pub struct Man {
    /// Page of one verb instead of the overview.
    pub verb: Option<String>,
}
