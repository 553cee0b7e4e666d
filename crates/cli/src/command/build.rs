//! `larder build`: restore, build as `docker build` does, save.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Instant;

use clap::CommandFactory as _;
use larder_builds::Draft;
use serde::Serialize;
use tempfile::TempDir;
use tokio::process::Command;

use super::restore::{leave_note, or_warn};
use super::run::exit_code;
use super::save::publish;
use crate::archive::arguments::Arguments;
use crate::archive::builder::{self, Builder, Docker, Strategy};
use crate::archive::content::Sources;
use crate::archive::door::Door;
use crate::archive::leaks::{self, Leak};
use crate::archive::note::JobNote;
use crate::archive::output::{self, Said};
use crate::archive::restore::{self, Restored, Wanted};
use crate::archive::save::{Saved, What};
use crate::archive::stages::{self, StageImage};
use crate::args::{BuildVerb, How};
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::settings::{self, Settings};
use crate::signals::Signals;

/// What a build with its restore and its save came to.
#[derive(Debug, Default, Serialize)]
struct Job {
    /// Who built.
    builder: Option<Builder>,
    /// How restored steps were found.
    strategy: Option<Strategy>,
    /// What was restored.
    restored: Option<Restored>,
    /// The exit code of `docker build`.
    exit_code: u8,
    /// How long it ran.
    build_ms: u64,
    /// Steps that came from the cache, as far as its output was read.
    cached_steps: usize,
    /// What looks like a secret.
    leaks: Vec<Leak>,
    /// What was saved.
    saved: Option<Saved>,
}

/// Restores, builds, saves. The exit code is that of `docker build`.
pub fn run(verb: &BuildVerb, report: &Report) -> Done {
    super::check_folder("--json", verb.manner.json.as_deref())?;
    let how = How {
        strict: verb.manner.strict,
        ..How::default()
    };
    let settings = Settings::decide(&verb.which, Some(&how))?;
    refuse_own_options(&verb.arguments)?;
    let arguments = Arguments::read(&verb.arguments).map_err(Failure::input)?;
    let drafts = drafts(&arguments, report);
    let docker = Docker::find(&settings.path)?;
    super::block_on(async {
        let door = Door::open(&settings).await?;
        let mut choice = settings::build_choice();
        if let Some(builder) = arguments.value("--builder") {
            choice.builder = Some(builder.to_owned());
        }
        let builder = builder::find(&choice, door.engine.about(), &docker)?;
        let strategy = builder::strategy(&builder, door.engine.about(), &docker)?;
        report.note(&format!("{builder}, remembered by {strategy}"));
        let folder = cache_folder(strategy)?;
        let build = Build {
            verb,
            settings: &settings,
            report,
            arguments,
            drafts,
            docker,
            builder,
            strategy,
            door,
            cache: folder.as_ref().map(|folder| folder.path().join("cache")),
        };
        let job = build.run().await?;
        if let Some(file) = &verb.manner.json {
            report.write_json(file, &job)?;
        }
        Ok(ExitCode::from(job.exit_code))
    })
}

/// After docker's first argument an option of ours would be taken for one of docker's.
fn refuse_own_options(typed: &[String]) -> Done<()> {
    let command = crate::args::Arguments::command();
    let verb = command.find_subcommand("build").expect("the verb is there");
    // Not its value, which may be a store's URL with a secret in it.
    let names = typed
        .iter()
        .filter_map(|it| it.strip_prefix("--")?.split('=').next());
    let mut names = names.filter(|name| !name.is_empty());
    let is_own = |name: &&str| {
        verb.get_arguments()
            .any(|own| own.get_long() == Some(*name))
    };
    names.find(is_own).map_or(Ok(()), |own| {
        Err(Failure::input(format!(
            "--{own} is an option of Larder; write it before the arguments of `docker build`"
        )))
    })
}

/// The build as `larder plan` knows it. One that cannot be planned is built all the same.
fn drafts(arguments: &Arguments, report: &Report) -> Vec<Draft> {
    let Some(planned) = arguments.planned() else {
        report
            .note("a build from a pipe or a URL is not planned: its base images are not looked at");
        return Vec::new();
    };
    let around = match settings::surroundings_of_builds() {
        Ok(around) => around,
        Err(failure) => {
            report.warning(&failure.message);
            return Vec::new();
        }
    };
    planned.drafts(&around).unwrap_or_else(|fault| {
        report.warning(&format!("its base images are not looked at: {fault}"));
        Vec::new()
    })
}

fn cache_folder(strategy: Strategy) -> Done<Option<TempDir>> {
    let wanted = strategy == Strategy::CacheFolder;
    let made = wanted.then(|| tempfile::Builder::new().prefix("larder-cache-").tempdir());
    made.transpose()
        .map_err(|error| Failure::failed(format!("no folder for the build cache: {error}")))
}

/// One build, with all that is known of it.
struct Build<'a> {
    verb: &'a BuildVerb,
    settings: &'a Settings,
    report: &'a Report,
    arguments: Arguments,
    drafts: Vec<Draft>,
    docker: Docker,
    builder: Builder,
    strategy: Strategy,
    door: Door,
    cache: Option<PathBuf>,
}

impl Build<'_> {
    async fn run(&self) -> Done<Job> {
        let mut job = Job {
            builder: Some(self.builder.clone()),
            strategy: Some(self.strategy),
            leaks: leaks::of_arguments(self.arguments.build_args()),
            ..Job::default()
        };
        // The build gets the signals of its time; at any other they end the job.
        let mut signals = Signals::catch()?;
        let (mut note, restored) = signals.end(self.restore()).await?;
        let sources = restored
            .as_ref()
            .map(|it| it.sources.clone())
            .unwrap_or_default();
        job.restored = restored;
        let started = Instant::now();
        let (status, said) = self.build(&sources, &mut signals).await?;
        job.build_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        job.exit_code = exit_code(status);
        job.cached_steps = said.cached;
        if job.exit_code != 0 {
            self.report.note("the build failed; nothing saved");
            return Ok(job);
        }
        note.build_ms = Some(job.build_ms);
        let save = Box::pin(self.save(&mut job, note, &said, &sources));
        signals.end(save).await?;
        Ok(job)
    }

    /// Saves what the build made, or leaves a note for a later `larder save`.
    async fn save(&self, job: &mut Job, note: JobNote, said: &Said, sources: &Sources) -> Done<()> {
        let looked = async {
            let mut what = self.what(said, sources).await?;
            what.use_cache(self.cache.as_deref());
            let leaks = leaks::of_images(&self.door.engine, &what).await?;
            Ok::<_, Failure>((what, leaks))
        };
        let (what, leaks) = match looked.await {
            Ok(looked) => looked,
            Err(failure) if self.settings.strict => return Err(failure),
            // The build succeeded, and its exit code stands.
            Err(failure) => {
                self.report.warning(&format!("nothing saved: {failure}"));
                return Ok(());
            }
        };
        job.leaks.extend(leaks);
        leaks::tell(&job.leaks, self.verb.deny_secrets, self.report)?;
        if self.verb.no_save {
            self.leave(note, &what);
        } else {
            let plan = note.plan.clone();
            job.saved = publish(&self.door, self.settings, &what, &note, plan, self.report).await?;
        }
        Ok(())
    }

    async fn restore(&self) -> Done<(JobNote, Option<Restored>)> {
        let outcome = if self.verb.no_restore || self.arguments.is_on("--no-cache") {
            None
        } else {
            let wanted = Wanted {
                drafts: &self.drafts,
                always: self.verb.worth.always,
                cache: self.cache.as_deref(),
            };
            let outcome = restore::restore(&self.door, self.settings, &wanted, self.report).await;
            or_warn(outcome, self.settings.strict, self.report)?
        };
        let note = leave_note(&self.door, outcome.as_ref(), self.report);
        Ok((note, outcome.map(|outcome| outcome.restored)))
    }

    /// Runs `docker build`, told where to find restored steps.
    async fn build(&self, sources: &Sources, signals: &mut Signals) -> Done<(ExitStatus, Said)> {
        let mut command = self.command();
        command.args(self.sources(sources));
        match self.strategy {
            Strategy::InlineCache => {
                let mut exports = self.arguments.values("--cache-to");
                // BuildKit takes one inline export, and the user's does as well.
                if !exports.any(|export| export.contains("type=inline") || export == "inline") {
                    command.args(stages::INLINE);
                }
                if !self.is_sent_away() {
                    command.arg("--tag").arg(self.stage_images().1.name);
                }
            }
            Strategy::CacheFolder => {
                command.args(self.cache_to());
            }
            Strategy::Parents | Strategy::StageImages => {}
        }
        command.args(&self.verb.arguments);
        // The ids of the stages' images are in what the classic builder prints.
        let needed = self.builder == Builder::Classic;
        output::run(command, needed, signals, self.report)
            .await
            .map_err(|error| Failure::failed(format!("{}: {error}", self.docker.program.display())))
    }

    /// `docker build` by the builder that was found.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.docker.program);
        let buildkit = if self.builder == Builder::Classic {
            "0"
        } else {
            "1"
        };
        command.env("DOCKER_BUILDKIT", buildkit).arg("build");
        command
    }

    fn sources(&self, sources: &Sources) -> Vec<String> {
        // The user's own choice of sources stands beside these. BuildKit takes names alone, the
        // classic builder left ids.
        let fits =
            |image: &&String| self.builder == Builder::Classic || !image.starts_with("sha256:");
        let images = sources.images.iter().filter(fits);
        let images = images.map(|image| format!("--cache-from={image}"));
        let folder = self.cache.as_ref().filter(|_| sources.cache);
        let folder =
            folder.map(|folder| format!("--cache-from=type=local,src={}", folder.display()));
        match self.strategy {
            Strategy::Parents => Vec::new(),
            Strategy::StageImages | Strategy::InlineCache => images.collect(),
            Strategy::CacheFolder => folder.into_iter().collect(),
        }
    }

    fn cache_to(&self) -> Option<String> {
        let folder = self.cache.as_deref().map(Path::display)?;
        Some(format!(
            "--cache-to=type=local,mode=max,compression=uncompressed,ignore-error=true,dest={folder}"
        ))
    }

    /// The images of stages that get names of ours, and the built one's.
    fn stage_images(&self) -> (Vec<StageImage>, StageImage) {
        stages::images(
            &self.door.lineage,
            self.drafts.first(),
            self.arguments.value("--target"),
        )
    }

    /// Whether the build's result goes elsewhere under all its names: then it gets none of ours.
    fn is_sent_away(&self) -> bool {
        self.arguments.is_on("--push") || self.arguments.value("--output").is_some()
    }

    /// What there is to save now.
    async fn what(&self, said: &Said, sources: &Sources) -> Done<What> {
        let tags = self.arguments.values("--tag").map(str::to_owned);
        let mut names: Vec<String> = match self.strategy {
            Strategy::CacheFolder => return Ok(What::default()),
            Strategy::InlineCache => self.build_stages(sources).await?,
            Strategy::Parents | Strategy::StageImages => tags.collect(),
        };
        names.extend(said.stages.iter().cloned());
        if names.is_empty() {
            // Without a name and with its output unread: what stands on top of the engine's images.
            let bases = self.drafts.iter().flat_map(bases_of).collect::<Vec<_>>();
            return What::everything(&self.door, &bases).await;
        }
        What::named(&self.door, &names).await
    }

    /// Gives each stage's steps an image with an inline cache. None of them is run again: the engine ran
    /// them, or the build's sources have them. The engine loaded only those that the build went on from.
    async fn build_stages(&self, sources: &Sources) -> Done<Vec<String>> {
        let (mut stages, built) = self.stage_images();
        let common = self.arguments.without(&stages::OF_THE_BUILD_ALONE);
        let mut names = Vec::new();
        if self.is_sent_away() {
            stages.push(built);
        } else {
            names.push(built.name);
        }
        for stage in stages {
            let mut command = self.command();
            command
                .args(self.sources(sources))
                .args(stages::INLINE)
                .args(["--quiet", "--tag", &stage.name])
                .args(stage.target.iter().flat_map(|target| ["--target", target]))
                .args(&common)
                .args(&self.arguments.context)
                .kill_on_drop(true);
            let output = command.output().await.map_err(Failure::failed)?;
            if output.status.success() {
                names.push(stage.name);
            } else {
                let why = String::from_utf8_lossy(&output.stderr);
                let why = why.trim().lines().last().unwrap_or_default().to_owned();
                self.report.warning(&format!(
                    "the steps of {} are not remembered: {why}",
                    stage.target.as_deref().unwrap_or("the last stage")
                ));
            }
        }
        Ok(names)
    }

    /// Tells a later `larder save` what was built.
    fn leave(&self, mut note: JobNote, what: &What) {
        note.built = Some(what.sources.clone());
        if let Err(error) = self.door.note.write(&note) {
            self.report.warning(&format!(
                "a later `larder save` must name its images: {error}"
            ));
        }
    }
}

fn bases_of(draft: &Draft) -> Vec<String> {
    let plan = draft.plan(&larder_model::dockerfile::ImageConfigs::new());
    let images = plan.map_or_else(|_| Vec::new(), |named| named.plan.images);
    images
        .iter()
        .map(|image| image.reference.to_string())
        .collect()
}
