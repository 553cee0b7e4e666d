//! The two lanes without a store: a fresh engine, and an engine whose root stays on the disk.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::lane::{Lane, LaneName, on_plain_engine};
use crate::bench::disk::Disk;
use crate::bench::measure::Measure;
use crate::dockerd::ImageStore;
use crate::job::Job;

/// A fresh engine each time.
#[derive(Default)]
pub(super) struct Fresh {
    disk: Option<Disk>,
}

impl Lane for Fresh {
    fn name(&self) -> LaneName {
        LaneName::None
    }

    fn warm_up(&mut self, _job: &mut Job, _revision: u32) -> Result<()> {
        Ok(())
    }

    fn prepare(&mut self, job: &mut Job) -> Result<()> {
        self.disk = Some(Disk::create(&job.folder)?);
        Ok(())
    }

    fn measure(&mut self, job: &Job, revision: u32) -> Result<Measure> {
        let disk = self.disk.take().context("the machine was not prepared")?;
        on_plain_engine(&disk.root(), ImageStore::Overlay2, job, revision)
    }
}

/// An engine whose root is kept: each measured build gets a copy of the warmed-up one.
pub(super) struct Kept {
    warm: PathBuf,
    disk: Option<Disk>,
}

impl Kept {
    /// Keeps the warmed-up disk as the file `warm`.
    pub(super) fn new(warm: PathBuf) -> Self {
        Self { warm, disk: None }
    }
}

impl Lane for Kept {
    fn name(&self) -> LaneName {
        LaneName::Kept
    }

    fn warm_up(&mut self, job: &mut Job, revision: u32) -> Result<()> {
        let disk = if self.warm.exists() {
            Disk::copy_of(&self.warm, &job.folder)?
        } else {
            Disk::create(&job.folder)?
        };
        on_plain_engine(&disk.root(), ImageStore::Overlay2, job, revision)?;
        disk.keep(&self.warm)
    }

    fn prepare(&mut self, job: &mut Job) -> Result<()> {
        self.disk = Some(Disk::copy_of(&self.warm, &job.folder)?);
        Ok(())
    }

    fn measure(&mut self, job: &Job, revision: u32) -> Result<Measure> {
        let disk = self.disk.take().context("the machine was not prepared")?;
        on_plain_engine(&disk.root(), ImageStore::Overlay2, job, revision)
    }
}
