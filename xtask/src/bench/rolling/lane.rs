//! What is compared: lanes (ways to keep build results between machines) and cases (what changed).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use crate::bench::measure::Measure;
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

/// The word that stands for a lane or a case on the command line and in tables.
pub(super) fn word(value: &impl ValueEnum) -> String {
    let shown = value.to_possible_value();
    shown.map_or_else(String::new, |shown| shown.get_name().to_owned())
}
