//! Larder's lane: a store that all machines share, and a fresh state folder on each.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::lane::{Lane, LaneName};
use crate::bench::measure::Measure;
use crate::job::larder::{Session, Store};
use crate::job::s3::Server;
use crate::job::{Job, now};

/// Each measured build reads what the warm-up stored for `main` and publishes in a scope of its
/// own, so that no build feeds another.
pub(super) struct Larder {
    name: LaneName,
    program: PathBuf,
    store: Store,
    /// The store's server, if it has one.
    _server: Option<Server>,
    published: u32,
}

impl Larder {
    /// Keeps its snapshots in a store.
    pub(super) fn new(
        name: LaneName,
        program: PathBuf,
        store: Store,
        server: Option<Server>,
    ) -> Self {
        Self {
            name,
            program,
            store,
            _server: server,
            published: 0,
        }
    }

    fn session<'a>(&'a self, scope: &'a str) -> Session<'a> {
        Session {
            program: &self.program,
            store: &self.store,
            scope,
        }
    }
}

impl Lane for Larder {
    fn name(&self) -> LaneName {
        self.name
    }

    fn warm_up(&mut self, job: &mut Job, revision: u32) -> Result<()> {
        let report = self.session("main").run(job)?;
        ensure!(
            report.saved.is_some(),
            "larder saved nothing after the warm-up build"
        );
        job.finish(revision).map(drop)
    }

    fn prepare(&mut self, _job: &mut Job) -> Result<()> {
        self.published += 1;
        Ok(())
    }

    fn measure(&mut self, job: &Job, revision: u32) -> Result<Measure> {
        let scope = format!("m-{}", self.published);
        let start = now();
        let report = self.session(&scope).run(job)?;
        let ended = now();
        ensure!(report.restored.is_some(), "larder restored nothing");
        let stored = report.saved()?.stored_bytes;
        let times = job.finish(revision)?;
        Ok(Measure {
            restore: times.begin - start,
            build: times.built - times.begin,
            save: ended - times.end,
            engine_start: report.seconds("engine"),
            engine_stop: report.seconds("stop"),
            fetched: report.fetched.bytes,
            requests: Some(report.fetched.requests),
            stored,
            net: report.net(),
        })
    }
}
