//! What can be typed. Nothing here is looked up or checked: see [`crate::settings`].

// These comments are the help text, for a terminal: no Markdown in them.
#![allow(clippy::doc_markdown)]

mod archive;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use archive::{BuildVerb, Doctor, Restore, Save};

/// Give a CI job a Docker engine that remembers.
///
/// Larder starts a Docker engine whose whole state (images, layers, build cache, cache mounts) is
/// the one that the last job left. The state is fetched lazily, block by block, from any object
/// store; when the job ends, only the blocks that changed go back.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print warnings and errors only.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Log more: each step, twice for each request, three times for libraries too.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
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

/// A variable that is not set makes an option empty: `--scope "$BRANCH"`.
fn filled() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a command with an engine that remembers: up, the command, down.
    Run(Run),
    /// Start an engine that remembers, in the background.
    Up(Up),
    /// Save what the job changed, and end the engine.
    Down(Down),
    /// Say what runs on this machine.
    Status(Status),
    /// Load what the last job saved into an engine that is only an API away.
    Restore(Restore),
    /// Save images and their build cache from an engine that is only an API away.
    Save(Save),
    /// Build as `docker build` does, between a restore and a save.
    Build(BuildVerb),
    /// Say what this machine and its engine can do, and how builds are remembered here.
    Doctor(Doctor),
    /// List the snapshots or archives of a store.
    Ls(Ls),
    /// Say what images are today.
    Image(Image),
    /// Say what a build depends on, and what of it moved since the last job.
    Plan(PlanVerb),
    /// Print a build's name for a cache: it changes when the build could differ.
    Key(KeyVerb),
    /// Say why the next build will not be like the last one.
    Explain(Explain),
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
pub(crate) struct Where {
    /// Where snapshots rest: file:///folder, s3://bucket/prefix, gs://bucket/prefix or
    /// az://container/prefix [default: a folder in the user's cache folder]
    #[arg(long, value_name = "URL", value_parser = filled())]
    pub store: Option<String>,
    /// Folder of this machine's part: the sparse file, the session [default: /var/lib/larder/state]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// File with settings [default: larder.toml in this folder or above it, up to the repository]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Project, shared by all jobs of a repository [default: its git remote, or the folder's name]
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub project: Option<String>,
    /// Job; each has its own line of snapshots [default: the CI's job name, or "default"]
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub job: Option<String>,
    /// Whose changes these are [default: the branch, or pull/N in a pull request]
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub scope: Option<String>,
    /// Scopes to try next when this one has no snapshot, in order [default: the pull request's
    /// target, the default branch]; an empty name for none
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub fallback: Option<Vec<String>>,
}

/// Options of the engine and its volume.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine and volume")]
pub(crate) struct How {
    /// How the engine stands beside the machine's own: auto, takeover or private [default: auto]
    #[arg(long, value_name = "SHAPE")]
    pub engine: Option<String>,
    #[command(flatten)]
    pub kind: EngineKind,
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
    #[command(flatten)]
    pub planned: Planned,
}

/// Options of what the job builds.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Builds and their base images")]
pub(crate) struct Planned {
    /// A build of this job (a Dockerfile, a compose or bake file, or their folder): its base images
    /// are compared with the registries' [default: the one in this folder]
    #[arg(long, value_name = "PATH")]
    pub plan: Vec<PathBuf>,
    /// When registries are asked whether a base image has moved: always, never, or when they were
    /// last asked longer ago than 12h, say [default: always]
    #[arg(long, value_name = "POLICY")]
    pub fresh: Option<String>,
    #[command(flatten)]
    pub reach: Reach,
}

/// What kind of engine a snapshot must be of.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine and volume")]
pub(crate) struct EngineKind {
    /// Where the engine keeps images: overlay2 or containerd [default: as this version of Docker
    /// does: overlay2 before 29]
    #[arg(long, value_name = "STORE")]
    pub image_store: Option<String>,
}

/// Options of registries.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct Reach {
    /// Registry, or range of addresses such as 10.0.0.0/8, that may be reached without a valid
    /// certificate or over plain HTTP
    #[arg(long, value_name = "HOST")]
    pub insecure_registry: Vec<String>,
    /// Host to ask first for the images of a registry
    #[arg(long, value_name = "HOST=URL")]
    pub registry_mirror: Vec<String>,
}

/// Options that say which build is meant, as `docker build`, `docker compose build` and `docker
/// buildx bake` have them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Build")]
#[expect(
    clippy::struct_field_names,
    reason = "the names are the options of docker build"
)]
pub(crate) struct Build {
    /// The build's folder, or - for a Dockerfile on standard input
    #[arg(default_value = ".", value_name = "CONTEXT")]
    pub context: PathBuf,
    /// Dockerfile, compose file or bake file; several -f are read together, as `docker compose` and
    /// `docker buildx bake` read them. What `docker compose config --format json` and `docker buildx
    /// bake --print` write is read without these tools; - is standard input [default: the Dockerfile
    /// in CONTEXT, else its compose and bake files]
    #[arg(long, short, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Service of the compose file, or target or group of the bake file, to plan with the builds that
    /// it needs [default: those that the tool builds by default]
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub only: Vec<String>,
    /// Profile of the compose file to enable
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub profile: Vec<String>,
    /// File with variables for the compose file, in the place of .env
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Change a value of a bake file's target: app.args.VERSION=3, *.platform=linux/arm64
    #[arg(long, value_name = "TARGET.KEY=VALUE")]
    pub set: Vec<String>,
    /// Stage to build
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Platform to build for, such as linux/arm64; several are planned one by one [default: what the
    /// file or DOCKER_DEFAULT_PLATFORM says, else this machine's]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Build argument; without a value it comes from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Named context: a folder, docker-image://IMAGE, or target:NAME
    #[arg(long, value_name = "NAME=VALUE")]
    pub build_context: Vec<String>,
    /// File that the build depends on, such as a lock file, below CONTEXT: a path, a folder or a
    /// pattern with *, ? and **
    #[arg(long, value_name = "FILE-OR-GLOB")]
    pub extra: Vec<String>,
    /// Do not use the network: base images are known by name only, or as --max-age allows
    #[arg(long)]
    pub offline: bool,
    /// Take what a registry said this long ago, or less: 30m, 12h or 7d, say
    #[arg(long, value_name = "PERIOD")]
    pub max_age: Option<String>,
}

/// Which builds a verb looks at, and how.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Look {
    #[command(flatten)]
    pub build: Build,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub reach: Reach,
}

/// `larder image`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  larder image ruby:3.3 --platform linux/arm64
Credentials are those of `docker login` and of DOCKER_AUTH_CONFIG. The exit code is 1 if
one of the images is not known.")]
pub(crate) struct Image {
    /// Images: ruby:3.3, ghcr.io/owner/name@sha256:…
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// Platform, such as linux/arm64 [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Only the digest that the tag has now. It costs one HEAD, which counts against no pull limit.
    #[arg(long)]
    pub digest: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub reach: Reach,
}

/// `larder plan`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  larder plan --target app --extra Gemfile.lock
  larder plan --offline --json -f compose.yaml     one plan for each image, without the network
  larder plan -f compose.yaml -f prod.yaml --profile debug
  larder plan -f docker-bake.hcl --only app --set app.args.VERSION=3
Compose and bake files are read by `docker compose` and `docker buildx`, which must be installed.
An image's line says its identity, since when it has been that, and where it is used, as
stage:line.")]
pub(crate) struct PlanVerb {
    /// Print JSON; a Dockerfile that is refused gives its error so, with file and line.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub look: Look,
    #[command(flatten)]
    pub kind: EngineKind,
}

/// `larder key`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  larder key --extra Gemfile.lock --write key      CircleCI: {{ checksum \"key\" }}
  larder key --extra Gemfile.lock --ladder         GitHub: key, then the lines of restore-keys
Comments, formatting, stages that the target does not reach and a base image that was
rebuilt without a change do not matter. A project is part of the key where it is named
(--project, LARDER_PROJECT, larder.toml): a guess would differ from machine to machine.")]
pub(crate) struct KeyVerb {
    /// Write what is printed to a file too, for CI systems that make a key of a file's checksum.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Print the exact key and then broader and broader beginnings of it, to restore from.
    #[arg(long)]
    pub ladder: bool,
    /// Where a base image cannot be resolved, make the key with its name instead of failing.
    #[arg(long)]
    pub allow_unresolved: bool,
    #[command(flatten)]
    pub look: Look,
}

/// `larder explain`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  larder explain --target app
Today's plan against that of the snapshot that the next job would restore: which base moved,
what changed in the Dockerfile, the arguments or the extra files, and which stages are
therefore rebuilt.")]
pub(crate) struct Explain {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub look: Look,
    #[command(flatten)]
    pub kind: EngineKind,
}

/// `larder run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Where this machine lacks what Larder needs, run the command on the machine's own engine.
    #[arg(long)]
    pub optional: bool,
    /// Write a report of both halves of the job to a file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The command; DOCKER_HOST is set for it.
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub command: Vec<std::ffi::OsString>,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub how: How,
}

/// `larder up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Append DOCKER_HOST=… to a file, as CI systems want it ($GITHUB_ENV, dotenv).
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Leave the docker command line's current context as it is.
    #[arg(long)]
    pub no_context: bool,
    /// Write a report to a file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub how: How,
}

/// `larder down`
#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Save nothing.
    #[arg(long)]
    pub discard: bool,
    /// Fail if nothing could be saved.
    #[arg(long)]
    pub strict: bool,
    /// Write a report of the whole job to a file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub which: Where,
}

/// `larder status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// `larder ls`
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Archives of images (larder save) instead of snapshots.
    #[arg(long)]
    pub archives: bool,
    /// Of every project, not only of this one.
    #[arg(long, short)]
    pub all: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// `larder completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub shell: Shell,
}

/// `larder man`
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Page of one verb instead of the overview.
    pub verb: Option<String>,
}
