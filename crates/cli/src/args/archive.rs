//! What can be typed for the archive door.

use std::path::PathBuf;

use clap::Args;

use super::{How, Planned, Where};

/// Options that all verbs of the archive door share.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Job")]
pub(crate) struct Manner {
    /// Fail where Larder would warn and go on without the cache.
    #[arg(long)]
    pub strict: bool,
    /// Write a report to a file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Planned {
    /// As the settings of a job are decided from it.
    pub(crate) fn how(&self, manner: &Manner) -> How {
        How {
            planned: self.clone(),
            strict: manner.strict,
            ..How::default()
        }
    }
}

/// Whether a restore must pay.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Worth {
    /// Restore only if that saves more time than it costs, by what earlier jobs measured; the default
    #[arg(long, overrides_with = "always")]
    if_worth: bool,
    /// Restore even if earlier jobs measured that it costs more time than it saves
    #[arg(long, overrides_with = "if_worth")]
    pub always: bool,
}

/// `larder restore`
#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub worth: Worth,
    /// Folder for BuildKit's cache, to be given to docker build as
    /// --cache-from type=local,src=DIR
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print the arguments by which docker build finds what was restored
    #[arg(long)]
    pub flags: bool,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub planned: Planned,
    #[command(flatten)]
    pub manner: Manner,
}

/// `larder save`
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Images to save, by name or id [default: what `larder build` made in this job, else every
    /// image of the engine but the builds' base images]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Folder with BuildKit's cache (--cache-to type=local,dest=DIR) to save too
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Refuse to save where a step seems to hold a secret
    #[arg(long)]
    pub deny_secrets: bool,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub planned: Planned,
    #[command(flatten)]
    pub manner: Manner,
}

/// `larder build`
#[derive(Debug, Args)]
pub(crate) struct BuildVerb {
    #[command(flatten)]
    pub worth: Worth,
    /// Do not restore
    #[arg(long)]
    pub no_restore: bool,
    /// Do not save; a later `larder save` does, after the push, say
    #[arg(long)]
    pub no_save: bool,
    /// Refuse to save where a step or a build argument seems to hold a secret
    #[arg(long)]
    pub deny_secrets: bool,
    /// The arguments of docker build: options, then the context. Larder's own options stand before
    /// them.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "DOCKER-BUILD-ARGUMENT"
    )]
    pub arguments: Vec<String>,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub manner: Manner,
}

/// `larder doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}
