//! Everything that is known of the builds that a command asked about.

use std::time::Duration;

use larder_bases::images::{self, Answers, Asking};
use larder_bases::last::LastError;
use larder_bases::{Known, Last, Shared};
use larder_builds::{Build, Draft, Fault, NamedPlan, RunOptions, Surroundings, read_input};
use larder_engine::program;
use larder_local::people::Voice as _;
use larder_model::dockerfile::ImageConfigs;
use larder_model::plan::Plan;
use larder_model::plan::diff::{Diff, diff};
use larder_model::plan::key::Key;
use larder_settings::{Settings, args, period};

use crate::report::Report;

/// The most time that registries are given by a command.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What is known of some builds.
#[derive(Debug)]
pub(crate) struct Survey {
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
    pub(crate) async fn look(
        build: &args::Build,
        settings: &Settings,
        with_last: bool,
    ) -> Result<Self, Fault> {
        let drafts = asked_for(build, &settings.around)?;
        let unread = drafts.iter().filter_map(Draft::unread);
        let unread: Vec<String> = unread.map(|fault| fault.to_string()).collect();
        let project = settings.project();
        let shared = Shared::of(project);
        let max_age = build.max_age.as_deref();
        let max_age = max_age.map(|text| period("--max-age", text)).transpose();
        let asking = Asking {
            registries: &project.registries,
            max_age: max_age.map_err(|failure| Fault::option(failure.message))?,
            offline: build.offline,
            deadline: DEADLINE,
            shared: shared.as_ref(),
        };
        let (resolved, last) = tokio::join!(images::resolve(&drafts, &asking, &[]), async {
            if with_last {
                last(settings, build.offline, &drafts).await
            } else {
                Ok(None)
            }
        });
        let resolved = resolved?;
        if let Some(news) = resolved.news {
            news.publish().await;
        }
        let mut warnings = unread;
        warnings.extend(resolved.answers.warnings.iter().cloned());
        let last = last.unwrap_or_else(|error| {
            warnings.push(error.to_string());
            None
        });
        Ok(Self {
            plans: resolved.plans,
            answers: resolved.answers,
            last,
            warnings,
        })
    }

    /// Says what is not known, and why.
    pub(crate) fn warn(&self, report: &Report) {
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
    pub(crate) fn diff(&self, named: &NamedPlan) -> Option<Diff> {
        let record = self.last.as_ref()?.record.as_ref()?;
        let former = record.counterpart(named, self.plans.len() == 1)?;
        Some(diff(&former.plan, &named.plan))
    }

    /// What is known of an image, with the earliest time at which somebody saw it so.
    pub(crate) fn known(&self, image: &larder_model::plan::PlannedImage) -> Option<Known> {
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

    pub(crate) fn key(&self) -> Key {
        let plans: Vec<Plan> = self.plans.iter().map(|named| named.plan.clone()).collect();
        Key::of_all(&plans)
    }
}

/// The builds that the options ask for. Standard input is read if it is named.
fn asked_for(options: &args::Build, around: &Surroundings) -> Result<Vec<Draft>, Fault> {
    let options = options.clone();
    let mut build = Build {
        context: options.context,
        files: options.file,
        input: None,
        only: options.only,
        profiles: options.profile,
        env_files: options.env_file,
        overrides: options.set,
        target: options.target,
        platforms: options.platform,
        build_args: options.build_arg,
        build_contexts: options.build_context,
        run: RunOptions {
            network: options.run.network,
            add_hosts: options.run.add_host,
            ulimits: options.run.ulimit,
            shm_size: options.run.shm_size,
            cgroup_parent: options.run.cgroup_parent,
        },
        extras: options.extra,
    };
    if build.reads_input() {
        build.input = Some(read_input(std::io::stdin())?);
    }
    build.drafts(around)
}

/// The builds of a job. What cannot be planned is a warning: the job may build something else.
pub(crate) fn planned(settings: &Settings, report: &Report) -> Vec<Draft> {
    let drafted = settings.request().drafts();
    for fault in drafted.faults {
        report.warning(&format!(
            "cannot plan a build, so its base images are not checked: {fault}"
        ));
    }
    drafted.drafts
}

/// The snapshot that the next job would restore. Offline, only a store in a directory is read, and the
/// machine's engine is not asked for its version: any engine's snapshot counts then.
async fn last(
    settings: &Settings,
    offline: bool,
    drafts: &[Draft],
) -> Result<Option<Last>, LastError> {
    let project = settings.project();
    if offline && project.store.location().as_folder().is_none() {
        return Ok(None);
    }
    let compatibility = async {
        if offline {
            None
        } else {
            own_compatibility(settings).await
        }
    };
    let plans = larder_builds::plans(drafts, &ImageConfigs::new()).ok();
    Last::find(project, compatibility, plans).await
}

/// The compatibility key of this machine's engine; `None` without an engine, which planning does not need.
async fn own_compatibility(settings: &Settings) -> Option<String> {
    let path = settings.session.path.clone();
    let probed = tokio::task::spawn_blocking(move || program::probe(&path)).await;
    let program = probed.expect("probing does not panic").ok()?;
    let store = settings.session.image_store(&program);
    Some(program.compatibility(store))
}
