//! Directories without an engine.

use std::path::PathBuf;

use clap::Args;

use super::{Down, VolumeHow, Where, filled};

#[derive(Debug, Args)]
pub struct Mount {
    /// Name of its line of snapshots, as --job is for other verbs
    #[arg(value_name = "NAME", value_parser = filled())]
    pub name: String,
    /// The directory: empty, or not there yet. Its last part is its name on other machines.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Write a report to a file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub which: Where,
    #[command(flatten)]
    pub volume: VolumeHow,
}

#[derive(Debug, Args)]
pub struct Unmount {
    /// Its name, or the directory
    #[arg(value_name = "NAME|DIR", value_parser = filled())]
    pub what: String,
    #[command(flatten)]
    pub down: Down,
}
