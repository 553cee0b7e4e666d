//! What can be typed for engines behind an API.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Care, How, Planned, VolumeHow, Where};

/// Options that `build`, `restore` and `save` share.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Job")]
pub struct Manner {
    /// Fail where Larder would warn and go on without the cache.
    #[arg(long)]
    pub strict: bool,
    /// Write a report to a file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Planned {
    /// As the settings of a job are decided from it.
    pub fn how(&self, manner: &Manner) -> How {
        How {
            planned: self.clone(),
            volume: VolumeHow {
                strict: manner.strict,
                ..VolumeHow::default()
            },
            ..How::default()
        }
    }
}

/// Whether a restore must pay.
#[derive(Debug, Clone, Copy, Args)]
pub struct Worth {
    /// Do not restore if earlier jobs found that restoring took longer than it saved (the default)
    #[arg(long, overrides_with = "always")]
    if_worth: bool,
    /// Restore even if earlier jobs found that restoring took longer than it saved
    #[arg(long, overrides_with = "if_worth")]
    pub always: bool,
}

#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    pub worth: Worth,
    /// Directory to restore BuildKit's cache to, for docker build --cache-from type=local,src=DIR
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print the options by which docker build finds what was restored. They are those of the
    /// builder that DOCKER_BUILDKIT chooses
    #[arg(long)]
    pub flags: bool,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub planned: Planned,
    #[command(flatten)]
    pub manner: Manner,
}

#[derive(Debug, Args)]
pub struct Save {
    /// Images to save, by name or id [default: those that `larder build` made in this job, else
    /// every image of the engine but the base images]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Directory with BuildKit's cache (docker build --cache-to type=local,dest=DIR) to save too
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Do not save if a step seems to hold a secret
    #[arg(long)]
    pub deny_secrets: bool,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub planned: Planned,
    #[command(flatten)]
    pub manner: Manner,
}

#[derive(Debug, Args)]
pub struct BuildVerb {
    #[command(flatten)]
    pub worth: Worth,
    /// Do not restore
    #[arg(long)]
    pub no_restore: bool,
    /// Do not save; a later `larder save` will, for example after the push
    #[arg(long)]
    pub no_save: bool,
    /// Do not save if a step or a build argument seems to hold a secret
    #[arg(long)]
    pub deny_secrets: bool,
    /// Add what the job came to to a file, as Markdown [default: the file that GITHUB_STEP_SUMMARY names]
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Arguments of docker build: options, then the context. Larder's own options go before them
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "DOCKER-BUILD-ARGUMENT"
    )]
    pub arguments: Vec<String>,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub manner: Manner,
}

/// Exit code 3 if Larder cannot work as it is meant to.
#[derive(Debug, Args)]
pub struct Doctor {
    /// What must work: volume (`run` and `up`), podman (the same with `--engine podman`), api (`build`,
    /// `restore` and `save`), or any of them [default: any]
    #[arg(long, value_name = "DOOR")]
    pub door: Option<Door>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

/// A way in which a job gets an engine that remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Door {
    Volume,
    Podman,
    Api,
    #[default]
    Any,
}
