//! Everything that is known of the builds that a command asked about.

use std::time::Duration;

use larder_model::plan::Plan;
use larder_model::plan::diff::{Diff, diff};
use larder_model::plan::key::Key;

use super::draft::Draft;
use super::fault::Fault;
use super::images::{self, Answers, Asking};
use super::last::{self, Last};
use super::record::{Known, NamedPlan};
use super::shared::Shared;
use crate::args::Build;
use crate::exit::Failure;
use crate::report::Report;
use crate::session::facts::now_ms;
use crate::settings::{Settings, period};

/// The most time that registries are given by a command.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is known of some builds.
#[derive(Debug)]
pub struct Survey {
    /// Their plans, with the identities that could be had.
    pub plans: Vec<NamedPlan>,
    /// What registries said.
    pub answers: Answers,
    /// The snapshot that the next job would restore.
    pub last: Option<Last>,
    /// Why the last snapshot is not known.
    pub warnings: Vec<String>,
}

impl Survey {
    /// Asks the registries and, where it is wanted, the store, at the same time.
    pub fn look(
        drafts: &[Draft],
        settings: &Settings,
        build: &Build,
        with_last: bool,
    ) -> Result<Self, Fault> {
        let max_age = build.max_age.as_deref();
        let shared = Shared::of(settings);
        let asking = Asking {
            registries: &settings.registries,
            max_age: max_age
                .map(|text| period::parse("--max-age", text))
                .transpose()?,
            offline: build.offline,
            deadline: DEADLINE,
            now_ms: now_ms(),
            shared: shared.as_ref(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Fault::option(error.to_string()))?;
        let (resolved, last) = runtime.block_on(async {
            let last = async {
                if with_last {
                    last::find(settings, build.offline).await
                } else {
                    Ok(None)
                }
            };
            tokio::join!(images::resolve(drafts, &asking, &[]), last)
        });
        let images::Resolution {
            plans,
            answers,
            news,
        } = resolved?;
        if let Some(news) = news {
            runtime.block_on(news.publish());
        }
        let mut warnings = answers.warnings.clone();
        let last = last.unwrap_or_else(|why| {
            warnings.push(why);
            None
        });
        Ok(Self {
            plans,
            answers,
            last,
            warnings,
        })
    }

    /// Says what is not known, and why.
    pub fn warn(&self, report: &Report) {
        for warning in &self.warnings {
            report.warning(warning);
        }
        for unknown in &self.answers.unknown {
            report.warning(&format!(
                "{} ({}) is not resolved: {}",
                unknown.reference, unknown.platform, unknown.why
            ));
        }
    }

    /// What changed in a build since the last snapshot; `None` without a plan to compare with.
    pub fn diff(&self, named: &NamedPlan) -> Option<Diff> {
        let record = self.last.as_ref()?.record.as_ref()?;
        let former = record.counterpart(named, self.plans.len() == 1)?;
        Some(diff(&former.plan, &named.plan))
    }

    /// What is known of an image, with the earliest time at which somebody saw it so.
    pub fn known(&self, image: &larder_model::plan::PlannedImage) -> Option<Known> {
        let mut known = self
            .answers
            .known
            .iter()
            .find(|known| known.is_about(image))?
            .clone();
        let record = self.last.as_ref().and_then(|last| last.record.as_ref());
        let former = record.into_iter().flat_map(|record| &record.images);
        for former in former.filter(|former| former.is_about(image)) {
            if former.identity == known.identity {
                known.since_ms = known.since_ms.min(former.since_ms);
            }
        }
        Some(known)
    }

    /// The key of all builds together.
    pub fn key(&self) -> Key {
        let plans: Vec<Plan> = self.plans.iter().map(|named| named.plan.clone()).collect();
        Key::of_all(&plans)
    }
}

/// Says what is wrong with a build's files, to programs too.
pub fn reject(fault: Fault, json: bool, report: &Report) -> Failure {
    if json {
        let answer = serde_json::json!({ "error": fault });
        report.answer(&format!("{answer:#}"));
    }
    fault.into()
}
