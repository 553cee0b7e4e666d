//! What can be typed to look back at jobs.

use std::path::PathBuf;

use clap::Args;

use super::Where;

/// Each snapshot tells what its job came to, and the 24 before it.
#[derive(Debug, Args)]
pub struct History {
    /// Of archives of images (`larder save`) instead of snapshots.
    #[arg(long)]
    pub archives: bool,
    /// How many jobs to show, the newest first; 0 for all [default: 30]
    #[arg(long, short = 'n', value_name = "N")]
    pub limit: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Where,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  larder report --html report.html             after a job on this machine
  larder report job.json --html report.html    what `larder run --json job.json` wrote
The page is one file without scripts: the job as a timeline, bytes over time, and the history of its
line. It names steps, images and branches as the job's log does.")]
pub struct ReportVerb {
    /// Report of a job, as `run`, `down` and `build` write it with --json [default: that of this project's last job
    /// on this machine]
    #[arg(value_name = "REPORT")]
    pub report: Option<PathBuf>,
    /// Write a page with figures; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub which: Where,
}
