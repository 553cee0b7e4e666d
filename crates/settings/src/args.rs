//! What can be typed. Nothing here is looked up or checked: see [`crate::Settings`].

// These comments are the help text, for a terminal: no Markdown in them.
#![allow(clippy::doc_markdown, clippy::doc_link_with_quotes)]
// What has no text of its own says what it is by its name.
#![allow(missing_docs)]

mod archive;
mod folder;
mod look;
mod past;
mod session;
mod setup;
mod store;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};

pub use archive::{BuildVerb, Doctor, Door, Restore, Save};
pub use folder::{Mount, Unmount};
pub use look::{Explain, Image, KeyVerb, Look, PlanVerb};
pub use past::{History, ReportVerb};
pub use session::{Down, Run, Status, Up};
pub use setup::{Completions, Init, Keygen, Man, Version};
pub use store::{Care, Cloud, Cp, Gc, Ls, Policy, Promote, Rekey, Rm, Verify};

/// Give a CI job a Docker engine that remembers.
///
/// Larder starts a Docker engine as the last job left it: images, layers, build cache, cache
/// mounts. The engine's disk is fetched lazily, block by block, from an object store. When the job
/// ends, only the blocks that changed are uploaded.
#[derive(Debug, Parser)]
#[command(name = "larder", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    /// Print warnings and errors only. `build` hands it on: docker build then prints the image's id
    /// alone
    #[arg(
        long, short, global = true, overrides_with = "quiet",
        action = clap::ArgAction::Set, value_parser = go_bool, value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", hide_default_value = true
    )]
    pub quiet: bool,
    /// Log to standard error: -v steps, -vv requests, -vvv libraries too.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

impl Arguments {
    /// `docker build` has an option -q too. `larder build` stands in its place, so it is for both.
    #[must_use]
    pub fn settled(mut self) -> Self {
        if let (true, Verb::Build(build)) = (self.quiet, &mut self.verb) {
            build.arguments.insert(0, "--quiet".to_owned());
        }
        self
    }
}

/// A flag of docker's may have a value (pflag `bool.go`, `Set`).
fn go_bool(text: &str) -> Result<bool, String> {
    larder_model::go::parse_bool(text).ok_or_else(|| "not true or false".to_owned())
}

const EXAMPLES: &str = "\
Examples:
  larder run --store s3://ci-cache/larder -- docker build -t app .
  larder up --env-file \"$GITHUB_ENV\"     then steps with docker, then: larder down
  larder run --dir target -- cargo build

Settings come from options, then LARDER_* variables, then larder.toml. A larder.toml that was not named
with --config or LARDER_CONFIG is a commit's: of it count only job, engine, builder, image-store, size,
keep, prefetch, prefetch-budget, background-upload, strict, retry-empty, fresh, gc and plan.
A session logs to larder.log, beside the socket that `larder status` shows. LARDER_LOG sets what is
logged there and by -v, as a level, or a level for each crate: debug, or larder_registry=debug.
Exit codes: 0 done, 1 failed, 2 wrong input, 3 the machine lacks something. `run` and `build`
exit with the code of their command.";

/// A variable that is not set makes an option empty: `--scope "$BRANCH"`.
fn filled() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a command with an engine, or with directories, that remember: up, the command, down
    Run(Run),
    /// Start a session: an engine that remembers, in the background
    Up(Up),
    /// Save what the job changed, and end the session
    Down(Down),
    /// Mount a directory that remembers: a compiler's, a package manager's, without an engine
    Mount(Mount),
    /// Save what changed in such a directory, and end its session
    Unmount(Unmount),
    /// Show the session of this machine
    Status(Status),
    /// Load the images that the last job saved, through the engine's API
    Restore(Restore),
    /// Save images and their build cache, through the engine's API
    Save(Save),
    /// Restore, run `docker build`, save, through the engine's API
    Build(BuildVerb),
    /// Show what this machine and its engine can do, and how to get what is missing
    Doctor(Doctor),
    /// Show what the last job came to, or write it as a page with figures
    Report(ReportVerb),
    /// Show what the jobs of this line came to: hits, seconds and bytes
    History(History),
    /// List the snapshots of the store, or its archives of images
    Ls(Ls),
    /// Remove from the store what is too old, and what nothing needs any more
    Gc(Gc),
    /// Find what is damaged in the store
    Verify(Verify),
    /// Remove snapshots and archives
    Rm(Rm),
    /// Make what one scope saved last the head of another scope, without copying
    Promote(Promote),
    /// Copy what was saved last to another store
    Cp(Cp),
    /// Show what tags are in their registries now
    Image(Image),
    /// Show what a build depends on, and what has moved since the last job
    Plan(PlanVerb),
    /// Print a cache key for a build
    Key(KeyVerb),
    /// Explain what the next build will rebuild, and why
    Explain(Explain),
    /// Write a configuration for a CI system, or show what to add to one
    Init(Init),
    /// Show the version, and what was built
    Version(Version),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Make a key to sign snapshots and archives with, and print its public half for --trust; or to encrypt them with
    Keygen(Keygen),
    /// Change the keys that open an encrypted store
    Rekey(Rekey),
    /// Print what a cloud must allow a job, and no more
    Policy(Policy),
    /// Print the manual page
    Man(Man),
    /// The background process; its settings come on standard input.
    #[command(name = "__serve", hide = true)]
    Serve,
    /// The collection after a save; what it needs comes on standard input.
    #[command(name = "__collect", hide = true)]
    Collect,
}

/// Which state is meant. Each option has a LARDER_* variable, and all but --config have a key in
/// larder.toml.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What to restore and save")]
pub struct Where {
    /// Store for snapshots: file:///directory, s3://bucket/prefix, gs://bucket/prefix,
    /// az://container/prefix, or gha:// for GitHub's own cache [default: `larder` in the user's cache directory]
    #[arg(long, value_name = "URL", value_parser = filled())]
    pub store: Option<String>,
    /// Keep in the store, which must be a directory, just what the newest snapshot of each lineage needs: for one that
    /// the CI system itself saves and restores. No two jobs may use it at once.
    #[arg(long)]
    pub single: bool,
    /// Cache in front of a far store, with verified parts of what it holds: a directory that any number of processes
    /// may share, or a nearer store [default: none]
    #[arg(long, value_name = "DIR|URL", value_parser = filled())]
    pub near: Option<String>,
    /// What the near cache may hold; what was not used for longest goes first [default: 10GiB]
    #[arg(long, value_name = "SIZE", value_parser = filled())]
    pub near_size: Option<String>,
    /// Directory for local state: the volume's file and the running session's record [default:
    /// /var/lib/larder/state]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// File with settings [default: the nearest larder.toml, from the current directory up to the
    /// repository's root]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Project, the same for all jobs of a repository [default: as the CI system says, else the git
    /// remote, else the directory's name]
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub project: Option<String>,
    /// Job; each has a lineage of snapshots of its own [default: the CI system's name of workflow, job and leg,
    /// else the word default]. LARDER_LEG is added to it; GitHub's legs of a matrix differ in nothing else:
    /// set LARDER_LEG: ${{ toJSON(matrix) }} there
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub job: Option<String>,
    /// Whose changes the job runs on; a job restores only from its own scope and its fallbacks. A name
    /// of your own, or branch/NAME, tag/NAME, pull/N [default: as the CI system says, else the branch
    /// that is checked out]
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub scope: Option<String>,
    /// Scopes to restore from if this one has no snapshot, in order; main means branch/main too; an
    /// empty name for none [default: the pull request's target, the default branch]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub fallback: Option<Vec<String>>,
    /// Sign what is saved with this Ed25519 key: a file, or env:NAME for a variable that holds it. LARDER_SIGN_KEY may
    /// hold the key itself [default: what is saved is not signed]
    #[arg(long, value_name = "FILE|env:NAME", value_parser = filled())]
    pub sign_key: Option<String>,
    /// Restore only what one of these public keys signed, and heed only its marks; SCOPE=KEY for one scope, KIND/=KEY
    /// for a kind of them, such as pull/ [default: everything]
    #[arg(long, value_name = "KEY", value_delimiter = ',', value_parser = filled())]
    pub trust: Vec<String>,
    /// Encrypt what is saved with this key, which `larder keygen --encrypt` makes: a file, or env:NAME for a variable that
    /// holds it. LARDER_ENCRYPT_KEY may hold the key itself. All jobs of a store need it [default: nothing is encrypted]
    #[arg(long, value_name = "FILE|env:NAME", value_parser = filled())]
    pub encrypt_key: Option<String>,
    /// Restore nothing older than this, such as 14d: who may delete from a store can bring an old snapshot
    /// back [default: any age]
    #[arg(long, value_name = "PERIOD", value_parser = filled())]
    pub max_snapshot_age: Option<String>,
}

/// Options of the engine and its volume.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine and volume")]
pub struct How {
    /// takeover: in place of the machine's engine, which is stopped meanwhile. private: beside it,
    /// with a network namespace and a socket of its own. auto: takeover if the machine's engine is
    /// absent or idle, else private. podman: the storage of podman and buildah instead.
    /// buildkit: a buildkitd instead of a Docker engine [default: auto]
    #[arg(long, value_name = "SHAPE|podman|buildkit")]
    pub engine: Option<String>,
    /// Whose podman it is with --engine podman: a user of this machine, by name or number [default: who called sudo;
    /// of `run`, whose command is root's, root]
    #[arg(long, value_name = "USER")]
    pub podman_user: Option<String>,
    /// A buildkitd beside the engine, as buildx's selected builder `larder`: several platforms, cache exports,
    /// attestations. It keeps at most half of --keep, the engine the rest. The commands' variables BUILDX_CONFIG and
    /// BUILDKIT_HOST lead to it; its steps have the network of the session
    #[arg(long)]
    pub builder: bool,
    #[command(flatten)]
    pub kind: EngineKind,
    /// Save named volumes too. They often hold databases, and secrets.
    #[arg(long)]
    pub keep_volumes: bool,
    #[command(flatten)]
    pub volume: VolumeHow,
    #[command(flatten)]
    pub planned: Planned,
}

/// Options of a volume, whoever lives on it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine and volume")]
pub struct VolumeHow {
    /// Limit of a new volume; it is sparse and takes only what is used [default: 64GiB]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// What to save at most. Images that four jobs in a row have not used and old build cache are dropped in
    /// any case; if more is in use, the least recently used goes too, but nothing that this job used. Of
    /// directories without an engine nothing is dropped: if they hold more, the next job starts empty
    /// [default: a third of the volume]
    #[arg(long, value_name = "SIZE")]
    pub keep: Option<String>,
    /// What to fetch before the job asks for it. hot: what the last job read. all: then all else. off:
    /// nothing. auto: hot, and all where no job has read anything yet and the store is far
    /// [default: auto]
    #[arg(long, value_name = "WHAT")]
    pub prefetch: Option<String>,
    /// How much of what nobody may need is fetched at most [default: 2GiB, or a third of the free disk]
    #[arg(long, value_name = "SIZE")]
    pub prefetch_budget: Option<String>,
    /// Store what the job has written, and copies of what it has read, while it runs, with what it leaves of the
    /// processor: on, off, or auto, which is on where the store is far [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub background_upload: Option<String>,
    /// Fail where Larder would warn and go on without the cache.
    #[arg(long)]
    pub strict: bool,
}

/// Options of what the job builds.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Builds and their base images")]
pub struct Planned {
    /// A build of this job, whose base images are compared with their registries: a Dockerfile, a
    /// compose or bake file, or a directory with one [default: the current directory]
    #[arg(long, value_name = "PATH")]
    pub plan: Vec<PathBuf>,
    /// When to ask registries whether a base image has moved: always, never, or only if the last
    /// answer is older than a period such as 30m, 12h, 7d or 2weeks [default: always]
    #[arg(long, value_name = "POLICY")]
    pub fresh: Option<String>,
    #[command(flatten)]
    pub reach: Reach,
}

/// What kind of engine a snapshot must be of.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine and volume")]
pub struct EngineKind {
    /// Where the engine keeps images: overlay2 or containerd [default: what this version of Docker
    /// uses, which is overlay2 before 29]
    #[arg(long, value_name = "STORE")]
    pub image_store: Option<String>,
}

/// Options of registries.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registries")]
pub struct Reach {
    /// Registry that may be reached without a valid certificate or over plain HTTP: a host, or a
    /// range of addresses such as 10.0.0.0/8
    #[arg(long, value_name = "HOST")]
    pub insecure_registry: Vec<String>,
    /// Mirror to ask first for the images of a registry
    #[arg(long, value_name = "HOST=URL")]
    pub registry_mirror: Vec<String>,
}

/// Options that say which build is meant, as `docker build`, `docker compose build` and `docker
/// buildx bake` have them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Build")]
pub struct Build {
    /// The build context, or - for a Dockerfile on standard input
    #[arg(default_value = ".", value_name = "CONTEXT")]
    pub context: PathBuf,
    /// Dockerfile, compose file or bake file; - is standard input. Several compose or bake files
    /// are read together, as their tools do. The output of `docker compose config --format json`
    /// and `docker buildx bake --print` is read too, without the tool [default: the Dockerfile in
    /// CONTEXT, else its bake and compose files]
    #[arg(long, short, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Service of the compose file, or target or group of the bake file. Builds that it needs are
    /// planned with it [default: what the tool builds by default]
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub only: Vec<String>,
    /// Profile of the compose file to enable, as for `docker compose`
    #[arg(long, value_name = "NAME", value_parser = filled())]
    pub profile: Vec<String>,
    /// File with variables for the compose file instead of .env, as for `docker compose`
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Override a value of a bake target, as for `docker buildx bake`: app.args.VERSION=3 or
    /// *.platform=linux/arm64
    #[arg(long, value_name = "TARGET.KEY=VALUE")]
    pub set: Vec<String>,
    /// Stage to build
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Platform to build for, such as linux/arm64; each of several gets a plan [default: that of the
    /// file or DOCKER_DEFAULT_PLATFORM, else this machine's]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Build argument; without =VALUE it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Named build context: a directory, docker-image://IMAGE, or target:NAME
    #[arg(long, value_name = "NAME=VALUE")]
    pub build_context: Vec<String>,
    #[command(flatten)]
    pub run: RunOptions,
    /// File that the build also depends on, such as a lock file: a path, a directory or a pattern
    /// with *, ? and **, relative to CONTEXT
    #[arg(long, value_name = "FILE-OR-GLOB")]
    pub extra: Vec<String>,
    /// Do not use the network. Base images are known by their names only, or with --max-age by what
    /// registries said before
    #[arg(long)]
    pub offline: bool,
    /// Reuse what a registry said if that is no older than this: 30m, 12h, 7d, 2weeks
    #[arg(long, value_name = "PERIOD")]
    pub max_age: Option<String>,
}

/// Options that the build's commands run with: a step depends on them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Build")]
pub struct RunOptions {
    /// Network of the build's commands: none or host
    #[arg(long, value_name = "MODE")]
    pub network: Option<String>,
    /// Host that the build's commands know; its name is part of the key, its address is not
    #[arg(long, value_name = "NAME:ADDRESS", value_delimiter = ',')]
    pub add_host: Vec<String>,
    /// Limit of the build's commands, such as nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
    /// Size of /dev/shm for the build's commands, such as 64m
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Parent cgroup of the build's commands
    #[arg(long, value_name = "CGROUP")]
    pub cgroup_parent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_is_handed_on_to_docker_build() {
        for (typed, expected) in [
            ("larder build -q .", &["--quiet", "."][..]),
            (
                "larder build --quiet -t app .",
                &["--quiet", "-t", "app", "."],
            ),
            ("larder -q build .", &["--quiet", "."]),
            ("larder build -t app -q .", &["-t", "app", "-q", "."]),
            ("larder build --quiet=true .", &["--quiet", "."]),
            ("larder build -q=1 .", &["-q=1", "."]),
            ("larder build --quiet=false .", &["."]),
            ("larder build -q -qv --quiet .", &["--quiet", "."]),
            ("larder build -v .", &["."]),
        ] {
            let arguments = Arguments::try_parse_from(typed.split(' ')).expect(typed);
            let Verb::Build(build) = arguments.settled().verb else {
                panic!("{typed} is a build");
            };
            assert_eq!(build.arguments, expected, "{typed}");
        }
    }
}
