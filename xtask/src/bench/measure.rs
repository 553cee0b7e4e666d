//! One measured job, and what is done to the disk around it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::process;

/// One build on one fresh machine.
#[derive(Clone, Default, Serialize)]
pub(super) struct Measure {
    /// From the start until the job can use the engine, in seconds.
    pub restore: f64,
    /// `docker build`, with the base image's import where it is absent.
    pub build: f64,
    /// From the job's end until everything is stored and the engine has stopped.
    pub save: f64,
    /// The engine's own part of `restore`.
    pub engine_start: Option<f64>,
    /// The engine's own part of `save`.
    pub engine_stop: Option<f64>,
    /// Bytes that came from the store or the registry.
    pub fetched: u64,
    /// Requests for blocks and maps, where they are counted.
    pub requests: Option<u64>,
    /// Bytes that went there.
    pub stored: u64,
    /// Seconds that Larder tells to have saved.
    pub net: Option<f64>,
}

impl Measure {
    /// What the developer waits for.
    pub(super) fn total(&self) -> f64 {
        self.restore + self.build + self.save
    }

    /// Requests, if they are counted.
    #[allow(clippy::cast_precision_loss)] // of 53 bits, which a double has
    pub(super) fn requests(&self) -> f64 {
        let counted = self.requests.map(|requests| requests as f64);
        counted.unwrap_or(f64::NAN)
    }
}

/// How long a program takes.
pub(super) fn seconds(command: &mut Command) -> Result<f64> {
    let began = Instant::now();
    process::run(command)?;
    Ok(began.elapsed().as_secs_f64())
}

/// Nothing of what is measured next is in memory.
pub(super) fn drop_page_cache() -> Result<()> {
    rustix::fs::sync();
    // Documentation/admin-guide/sysctl/vm.rst: 3 drops the page cache, dentries and inodes.
    fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop the page cache")
}

/// Bytes in the files below a folder.
pub(super) fn size_of(folder: &Path) -> Result<u64> {
    let text = process::read(
        Command::new("du")
            .args(["--summarize", "--bytes"])
            .arg(folder),
    )?;
    let Some(size) = text
        .split_whitespace()
        .next()
        .and_then(|size| size.parse().ok())
    else {
        bail!("du says `{text}` of {}", folder.display());
    };
    Ok(size)
}

/// Copies a folder with everything that it holds: owners, links, attributes, device nodes.
pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    process::run(
        Command::new("cp")
            .args(["--archive", "--reflink=auto", "--no-target-directory"])
            .arg(from)
            .arg(to),
    )
}
