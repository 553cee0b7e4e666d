//! What can be typed to look at builds before they run.

use std::path::PathBuf;

use clap::Args;

use super::{Build, EngineKind, Reach, Where};

/// Which builds a verb looks at, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct Look {
    #[command(flatten)]
    pub build: Build,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  larder image ruby:3.3 --platform linux/arm64
Credentials are those of `docker login` and of DOCKER_AUTH_CONFIG. The exit code is 1 if
a registry could not say what one of the images is.")]
pub struct Image {
    /// Images: ruby:3.3, ghcr.io/owner/name@sha256:…
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// Platform, such as linux/arm64 [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Print only the digest that the tag has now. This costs one HEAD request, which no pull limit
    /// counts.
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

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  larder plan --target app --extra Gemfile.lock
  larder plan --offline --json -f compose.yaml     one plan for each image, without the network
  larder plan -f compose.yaml -f prod.yaml --profile debug
  larder plan -f docker-bake.hcl --only app --set app.args.VERSION=3
Compose and bake files are read by `docker compose` and `docker buildx`. If the tool is missing,
the exit code is 3.
An image's line shows its identity (a hash of its layers and of the settings that a child image
inherits), how long the tag has been that, and where it is used, as stage:line.")]
pub struct PlanVerb {
    /// Print JSON. A file that is refused is printed as an error with file and line.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub look: Look,
    #[command(flatten)]
    pub kind: EngineKind,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  larder key --extra Gemfile.lock --write key      CircleCI: {{ checksum \"key\" }}
  larder key --extra Gemfile.lock --ladder         GitHub: key, then the lines of restore-keys
The key changes when the build could come out differently. Comments, formatting, stages that
the target does not use, and a base image rebuilt with the same layers and settings do not
change it. The project is part of the key if it is named (--project, LARDER_PROJECT, a file
that --config names); a guessed name would differ from machine to machine.")]
pub struct KeyVerb {
    /// Write the key to a file too, for CI systems that make their key of a file's checksum.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Print the exact key, then shorter and shorter prefixes of it to restore from.
    #[arg(long)]
    pub ladder: bool,
    /// If a base image cannot be resolved, use its name in the key instead of failing.
    #[arg(long)]
    pub allow_unresolved: bool,
    #[command(flatten)]
    pub look: Look,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  larder explain --target app
Compares today's plan with that of the snapshot that the next job would restore: which base
image moved, what changed in the Dockerfile, the arguments or the extra files, and which stages
are therefore rebuilt.")]
pub struct Explain {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub look: Look,
    #[command(flatten)]
    pub kind: EngineKind,
}
