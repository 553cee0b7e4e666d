//! What a job of `larder build` came to.

use std::time::Instant;

use indicatif::HumanBytes;
use larder_archive::builder::{Builder, Strategy};
use larder_archive::leaks::Leak;
use larder_archive::restore::Restored;
use larder_archive::save::Saved;
use larder_local::clock::now_ms;
use larder_local::people;
use larder_model::course::{Build, Moment, Phase};
use larder_model::lineage::Lineage;
use larder_page::Course;
use serde::Serialize;

use crate::report::{age, seconds_of};

/// As `--json` has it.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    #[serde(flatten)]
    pub came: &'a Came,
    #[serde(flatten)]
    pub course: Course,
}

/// What a build with its restore and its save came to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Came {
    pub builder: Option<Builder>,
    pub strategy: Option<Strategy>,
    pub restored: Option<Restored>,
    /// The exit code of `docker build`.
    pub exit_code: u8,
    pub build_ms: u64,
    /// Steps that came from the cache, as far as its output was read.
    pub cached_steps: usize,
    /// What looks like a secret.
    pub leaks: Vec<Leak>,
    pub saved: Option<Saved>,
    /// What its steps came to.
    #[serde(skip)]
    pub build: Build,
    #[serde(skip)]
    pub laps: Laps,
}

impl Came {
    /// What it came to, at a glance: what is said, and of what.
    pub(super) fn summary(&self) -> Vec<[String; 2]> {
        let restored = self.restored.as_ref().filter(|it| it.archive.is_some());
        let saved = self.saved.as_ref();
        let rows = [
            (
                "restored",
                Some(match restored {
                    None => "nothing".to_owned(),
                    Some(restored) => format!(
                        "{} images, {} old, in {}",
                        restored.images,
                        age(restored.age_ms),
                        seconds_of(restored.ms)
                    ),
                }),
            ),
            (
                "build",
                Some(format!(
                    "{} steps cached, {}",
                    self.cached_steps,
                    seconds_of(self.build_ms)
                )),
            ),
            (
                "fetched",
                restored.map(|it| HumanBytes(it.fetched_bytes).to_string()),
            ),
            (
                "stored",
                saved.map(|it| {
                    let stored = HumanBytes(it.statistics.stored_bytes);
                    format!("{stored} in {}", seconds_of(it.ms))
                }),
            ),
            ("net", self.net()),
        ];
        let known = rows.into_iter();
        known
            .filter_map(|(what, text)| Some([what.to_owned(), text?]))
            .collect()
    }

    /// How it went, for a page.
    pub(super) fn course(
        &self,
        store: String,
        lineage: Lineage,
        summary: Vec<[String; 2]>,
    ) -> Course {
        Course {
            store,
            started_ms: self.laps.started_ms,
            lineage,
            archives: true,
            summary,
            phases: self.laps.phases.clone(),
            builds: vec![self.build.clone()],
            traffic: self.traffic(),
        }
    }

    /// What had come when the restore ended, and had gone when the save did.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // of a job's milliseconds
    fn traffic(&self) -> Vec<Moment> {
        let fetched = self.restored.as_ref().map_or(0, |it| it.fetched_bytes);
        let saved = self.saved.as_ref();
        let stored = saved.map_or(0, |it| it.statistics.stored_bytes);
        let mut now = Moment::default();
        let mut moments = vec![now];
        for phase in &self.laps.phases {
            now.at_ms = (phase.at_ms + phase.ms) as u64;
            match phase.name.as_str() {
                "restore" => now.fetched_bytes = fetched,
                "save" => now.stored_bytes = stored,
                _ => {}
            }
            moments.push(now);
        }
        moments
    }

    /// What it gained or lost. A build that failed says nothing of how long it takes.
    #[allow(clippy::cast_precision_loss)] // of a job's milliseconds
    fn net(&self) -> Option<String> {
        if self.exit_code != 0 || self.strategy == Some(Strategy::Nothing) {
            return None;
        }
        let restored = self.restored.as_ref();
        let ours = restored.map_or(0, |it| it.ms) + self.saved.as_ref().map_or(0, |it| it.ms);
        let (built, ours) = (self.build_ms as f64, ours as f64);
        let used = restored.filter(|it| it.archive.is_some() && it.skipped.is_none());
        Some(match used.map(|it| it.cold_build_ms) {
            None => people::net_of_first("the build", built, ours),
            Some(Some(cold)) => {
                people::net("without a restore the build", [cold as f64, built, ours])
            }
            Some(None) => "not known: no job of this line built without a restore".to_owned(),
        })
    }
}

/// A job's clock: what took how long, one after the other.
#[derive(Debug)]
pub(super) struct Laps {
    started_ms: u64,
    began: Instant,
    since: Instant,
    phases: Vec<Phase>,
}

impl Default for Laps {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            started_ms: now_ms(),
            began: now,
            since: now,
            phases: Vec::new(),
        }
    }
}

impl Laps {
    /// Ends the current phase, which gets this name.
    pub(super) fn end(&mut self, name: &str) {
        let now = Instant::now();
        let at = (self.since - self.began).as_secs_f64();
        let took = (now - self.since).as_secs_f64();
        self.phases.push(Phase::of_seconds(name, at, took));
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_has_is_what_a_report_reads() {
        let mut came = Came::default();
        came.laps.end("restore");
        came.laps.end("command");
        let lineage = Lineage {
            project: "p".to_owned(),
            compatibility: "c".to_owned(),
            scope: "branch/main".to_owned(),
            job: "image".to_owned(),
        };
        let course = came.course("file:///s".to_owned(), lineage, came.summary());
        let told = Told {
            came: &came,
            course,
        };
        let text = serde_json::to_string(&told).expect("JSON");
        assert!(text.contains("\"exit_code\":0"), "{text}");
        let read: Course = serde_json::from_str(&text).expect("a course");
        let names: Vec<&str> = read.phases.iter().map(|it| it.name.as_str()).collect();
        assert_eq!((names, read.archives), (vec!["restore", "command"], true));
        assert_eq!((read.traffic.len(), &*read.summary[0][1]), (3, "nothing"));
        let of_a_volume = serde_json::from_str::<larder_session::facts::Job>(&text);
        assert!(of_a_volume.is_err(), "it is taken for another kind");
    }
}
