//! A job with an engine of Larder's.

use std::path::PathBuf;

use clap::Args;

use super::{Care, How, Where};

#[derive(Debug, Args)]
pub struct Run {
    /// A directory that remembers, instead of an engine: empty, or not there yet. Give it again for each of several;
    /// the last part of each is its name on other machines
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["engine", "podman_user", "builder", "image_store", "keep_volumes", "plan", "fresh"]
    )]
    pub dir: Vec<PathBuf>,
    /// If this machine lacks what Larder needs, run the command with the machine's own engine.
    #[arg(long)]
    pub optional: bool,
    /// Run the command again, on an empty volume, if the engine's disk failed while it ran (stored
    /// data is damaged, or the store was away for more than 5 minutes): always, never, or auto,
    /// which does so for docker build, buildx build, buildx bake, compose build, podman build and
    /// buildah build. Other commands then fail [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub retry_empty: Option<String>,
    /// Write a report of the whole job to a file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Add what the job came to to a file, as Markdown [default: the file that GITHUB_STEP_SUMMARY names]
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// The command. It gets DOCKER_HOST, and no variable that belongs to another engine: DOCKER_CONTEXT,
    /// DOCKER_TLS, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH; with a builder BUILDKIT_HOST and BUILDX_CONFIG, and no
    /// BUILDX_BUILDER. With --engine podman it gets CONTAINERS_STORAGE_CONF, and no STORAGE_DRIVER,
    /// CONTAINER_HOST, CONTAINER_CONNECTION.
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub command: Vec<std::ffi::OsString>,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub how: How,
}

#[derive(Debug, Args)]
pub struct Up {
    /// Append DOCKER_HOST=…, with --engine podman CONTAINERS_STORAGE_CONF=…, with a builder BUILDKIT_HOST=… and
    /// BUILDX_CONFIG=…, to a file, as CI systems read it ($GITHUB_ENV, dotenv), and empty values for the variables
    /// that belong to another engine, such as DOCKER_TLS_VERIFY.
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Stay in front until a signal comes, and then do what `down` does: for the main process of a container
    #[arg(long)]
    pub foreground: bool,
    /// How long ending may take with --foreground; what is not stored by then is not published [default: 10s]
    #[arg(long, value_name = "PERIOD", requires = "foreground")]
    pub grace: Option<String>,
    /// Do not make and select the docker context `larder`.
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

#[derive(Debug, Args)]
pub struct Down {
    /// Save nothing.
    #[arg(long)]
    pub discard: bool,
    /// Fail if nothing could be saved.
    #[arg(long)]
    pub strict: bool,
    /// Write a report of the whole job to a file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Add what the job came to to a file, as Markdown [default: the file that GITHUB_STEP_SUMMARY names]
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub which: Where,
}

#[derive(Debug, Args)]
pub struct Status {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}
