//! The two lanes without a store: a fresh engine, and an engine whose root stays on the disk.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::lane::{Lane, LaneName, Measure, copy_folder, on_plain_engine};
use crate::dockerd::ImageStore;
use crate::job::Job;

/// A fresh engine each time.
pub struct Fresh;

impl Lane for Fresh {
    fn name(&self) -> LaneName {
        LaneName::None
    }

    fn warm_up(&mut self, _job: &mut Job) -> Result<()> {
        Ok(())
    }

    fn prepare(&mut self, _job: &mut Job) -> Result<()> {
        Ok(())
    }

    fn measure(&mut self, job: &Job, revision: u32) -> Result<Measure> {
        let root = job.folder.join("root");
        let measure = on_plain_engine(&root, ImageStore::Overlay2, job, revision)?;
        fs::remove_dir_all(root)?;
        Ok(measure)
    }
}

/// An engine whose root is kept: each measured build gets a copy of the warmed-up one.
pub struct Kept {
    /// Where the warmed-up root is kept.
    pub warm: PathBuf,
}

impl Lane for Kept {
    fn name(&self) -> LaneName {
        LaneName::Kept
    }

    fn warm_up(&mut self, job: &mut Job) -> Result<()> {
        on_plain_engine(&self.warm, ImageStore::Overlay2, job, 0).map(drop)
    }

    fn prepare(&mut self, job: &mut Job) -> Result<()> {
        copy_folder(&self.warm, &job.folder.join("root"))
    }

    fn measure(&mut self, job: &Job, revision: u32) -> Result<Measure> {
        let root = job.folder.join("root");
        let measure = on_plain_engine(&root, ImageStore::Overlay2, job, revision)?;
        fs::remove_dir_all(root)?;
        Ok(measure)
    }
}
