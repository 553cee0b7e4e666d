//! What is compared: lanes (ways to keep build results between machines) and cases (what changed).

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::dockerd::{Dockerd, ImageStore};
use crate::job::{Job, now};
use crate::process;

/// A way to keep build results from one machine to the next.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LaneName {
    /// A fresh engine: nothing is kept
    None,
    /// The engine's root is kept on the local disk: the ideal
    Kept,
    /// `BuildKit`'s cache in a registry
    Registry,
    /// Larder
    Larder,
    /// Larder with a store in a folder, also where `--far` puts that of the lane *larder* far away
    #[value(name = "next-door")]
    #[serde(rename = "next-door")]
    NextDoor,
}

/// What changed since the warm-up build.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Case {
    /// One source file
    Source,
    /// One dependency added
    Deps,
    /// The base image
    Base,
    /// Nothing
    Same,
}

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
}

/// How a lane does a build on a fresh machine.
pub(super) trait Lane {
    /// Its name in tables.
    fn name(&self) -> LaneName;

    /// Prepares the artefacts of the builds before: what each measured build starts from. The built
    /// application reports `revision`.
    fn warm_up(&mut self, job: &mut Job, revision: u32) -> Result<()>;

    /// Makes a fresh machine that has those artefacts; not measured.
    fn prepare(&mut self, job: &mut Job) -> Result<()>;

    /// Builds on that machine. The page cache is cold.
    fn measure(&mut self, job: &Job, revision: u32) -> Result<Measure>;
}

/// One job on a plain engine: its start is the restore, its stop is the save.
pub(super) fn on_plain_engine(
    root: &Path,
    store: ImageStore,
    job: &Job,
    revision: u32,
) -> Result<Measure> {
    let start = now();
    let engine = Dockerd::start(root, store)?;
    let mut command = Command::new("sh");
    job.append_to(&mut command);
    process::run(command.env("DOCKER_HOST", engine.host())).with_context(|| job.log_tail())?;
    engine.stop()?;
    let stopped = now();
    let times = job.finish(revision)?;
    let (restore, save) = (times.begin - start, stopped - times.end);
    Ok(Measure {
        restore,
        build: times.built - times.begin,
        save,
        engine_start: Some(restore),
        engine_stop: Some(save),
        ..Measure::default()
    })
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

/// The word that stands for a lane or a case on the command line and in tables.
pub(super) fn word(value: &impl ValueEnum) -> String {
    let shown = value.to_possible_value();
    shown.map_or_else(String::new, |shown| shown.get_name().to_owned())
}
