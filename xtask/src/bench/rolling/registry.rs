//! The lane that keeps `BuildKit`'s cache in a registry on this machine.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::lane::{Lane, LaneName, on_plain_engine};
use crate::bench::disk::Disk;
use crate::bench::distribution::Registry;
use crate::bench::measure::{Measure, copy_folder, size_of};
use crate::dockerd::ImageStore;
use crate::job::Job;
use crate::mirrors;
use xtask_tools::wire::{self, Line};

/// `--cache-to` and `--cache-from` a registry, with the engine on the containerd store (the only
/// one that exports there).
pub(super) struct RegistryCache {
    warm: PathBuf,
    /// The line between the machine and the registry.
    line: Option<Line>,
    machine: Option<(Registry, Disk)>,
}

impl RegistryCache {
    /// Keeps the warmed-up registry's content in `warm`.
    pub(super) fn new(warm: PathBuf, line: Option<Line>) -> Self {
        Self {
            warm,
            line,
            machine: None,
        }
    }

    fn run(&mut self, job: &Job, revision: u32) -> Result<Measure> {
        let (registry, disk) = self
            .machine
            .take()
            .context("the machine was not prepared")?;
        let before = size_of(&registry.content)?;
        let mut measure = on_plain_engine(&disk.root(), ImageStore::Containerd, job, revision)?;
        measure.stored = size_of(&registry.content)?.saturating_sub(before);
        measure.fetched = registry.bytes_read()?;
        Ok(measure)
    }

    fn serve(&mut self, content: PathBuf, job: &mut Job) -> Result<()> {
        let registry = Registry::start(content, &job.folder)?;
        let port = match self.line {
            Some(line) => wire::to(registry.port, line)?,
            None => registry.port,
        };
        let reference = format!("127.0.0.1:{port}/larder-demo/app:cache");
        let cache = [
            "--cache-from".to_owned(),
            format!("type=registry,ref={reference}"),
            "--cache-to".to_owned(),
            format!("type=registry,ref={reference},mode=max,compression=zstd"),
        ];
        job.build_flags = mirrors::build_arguments()
            .into_iter()
            .chain(cache)
            .collect();
        self.machine = Some((registry, Disk::create(&job.folder)?));
        Ok(())
    }
}

impl Lane for RegistryCache {
    fn name(&self) -> LaneName {
        LaneName::Registry
    }

    fn warm_up(&mut self, job: &mut Job, revision: u32) -> Result<()> {
        self.serve(self.warm.clone(), job)?;
        self.run(job, revision).map(drop)
    }

    fn prepare(&mut self, job: &mut Job) -> Result<()> {
        let content = job.folder.join("registry");
        copy_folder(&self.warm, &content)?;
        self.serve(content, job)
    }

    fn measure(&mut self, job: &Job, revision: u32) -> Result<Measure> {
        self.run(job, revision)
    }
}
