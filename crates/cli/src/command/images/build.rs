//! `larder build`: restore, build as `docker build` does, save.

use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Output};
use std::time::Instant;

use clap::CommandFactory as _;
use larder_settings::args::{BuildVerb, Planned};
use larder_settings::exit::{Done, Failure, code_of};
use larder_settings::{Settings, summary_file};
use tempfile::TempDir;
use tokio::process::Command;

use larder_archive::builder::arguments::Arguments;
use larder_archive::builder::progress::{self, Progress};
use larder_archive::builder::stages::{self, StageImage};
use larder_archive::builder::{self, Builder, Docker, Strategy};
use larder_archive::document::Sources;
use larder_archive::leaks::{self, Leak};
use larder_archive::note::{self, JobNote};
use larder_archive::restore::{Restored, Wanted};
use larder_archive::save::{self, What};
use larder_archive::{ArchiveError, Job};
use larder_builds::Draft;
use larder_local::clock::{ms_since, now_ms};
use larder_local::people::Voice as _;

use super::came::{Came, Told};
use crate::command::store::collect;
use crate::command::{block_on, check_folder};
use crate::output;
use crate::report::Report;
use crate::report::summary::Summary;
use crate::signals::Signals;

/// Restores, builds, saves. The exit code is that of `docker build`.
pub(crate) fn run(verb: &BuildVerb, report: &Report) -> Done {
    check_folder("--json", verb.manner.json.as_deref())?;
    check_folder("--summary", verb.summary.as_deref())?;
    let how = Planned::default().how(&verb.manner);
    let settings = Settings::decide(&verb.which, Some(&how), report)?;
    let collects = settings.collects(&verb.care)?;
    refuse_own_options(&verb.arguments)?;
    let arguments = Arguments::read(&verb.arguments)?;
    let drafts = drafts(&arguments, &settings, report);
    let docker = Docker::find(&settings.session.path)?;
    block_on(async {
        let job = Job::open(settings.archive(report)?).await?;
        let mut choice = settings.build_choice.clone();
        if let Some(builder) = arguments.value("--builder") {
            choice.builder = Some(builder.to_owned());
        }
        let builder = builder::find(&choice, job.engine.about(), &docker)?;
        let strict = settings.session.strict;
        let strategy = builder::strategy(&builder, job.engine.about(), &docker);
        let strategy = report.or_miss("building without a cache", strict, strategy)?;
        let strategy = strategy.unwrap_or(Strategy::Nothing);
        if strategy != Strategy::Nothing {
            report.note(&format!("{builder}, remembered by {strategy}"));
        }
        let has_cache = strategy == Strategy::CacheFolder;
        let passing = (has_cache && !verb.no_save).then(passing_folder);
        let passing = passing.transpose()?;
        // One that is there for a later save.
        let noted = (has_cache && verb.no_save).then(|| job.note.cache_folder());
        let cache = passing.as_ref().map(|it| it.path().join("cache"));
        let cache = cache.or(noted.transpose()?);
        let build = Build {
            verb,
            strict,
            report,
            arguments,
            drafts,
            docker,
            builder,
            strategy,
            job,
            cache,
        };
        let lineage = build.job.lineage.clone();
        let came = Box::pin(build.run()).await?;
        let file = summary_file(verb.summary.as_deref());
        let summary = came.summary();
        report.summary(&Summary::of(&summary), file.as_deref());
        let told = Told {
            course: came.course(settings.project().store.to_string(), lineage, summary),
            came: &came,
        };
        if let Err(error) = note::keep_last(&settings.notes, &told.course) {
            report.note(&format!("`larder report` will not know this job: {error}"));
        }
        report.write_json(verb.manner.json.as_deref(), &told)?;
        let archive = came.saved.as_ref().and_then(|saved| saved.archive);
        collect::after(collects.as_ref(), archive.as_ref(), report);
        Ok(ExitCode::from(came.exit_code))
    })?
}

/// Refuses options of ours that stand after docker's first argument: they would be taken for docker's.
fn refuse_own_options(typed: &[String]) -> Done<()> {
    let command = larder_settings::args::Arguments::command();
    let verb = command.find_subcommand("build").expect("the verb is there");
    // Not its value, which may be a store's URL with a secret in it.
    let mut names = typed
        .iter()
        .filter_map(|it| it.strip_prefix("--")?.split('=').next());
    let own = names.find(|name| verb.get_arguments().any(|it| it.get_long() == Some(name)));
    own.map_or(Ok(()), |own| {
        Err(Failure::input(format!(
            "--{own} is an option of Larder; write it before the arguments of `docker build`"
        )))
    })
}

/// The build as `larder plan` knows it. One that cannot be planned is built all the same.
fn drafts(arguments: &Arguments, settings: &Settings, report: &Report) -> Vec<Draft> {
    let Some(planned) = arguments.planned() else {
        report.note(
            "a build from a pipe or a URL is not planned, so its base images are not checked",
        );
        return Vec::new();
    };
    let found = planned.drafts(&settings.around);
    let unread = found.iter().flatten().filter_map(Draft::unread);
    for fault in found.as_ref().err().cloned().into_iter().chain(unread) {
        report.warning(&format!(
            "cannot plan the build, so its base images are not checked: {fault}"
        ));
    }
    found.unwrap_or_default()
}

/// A folder for `BuildKit`'s cache, which is gone when the build is saved.
fn passing_folder() -> Done<TempDir> {
    let made = tempfile::Builder::new().prefix("larder-cache-").tempdir();
    made.map_err(|error| {
        Failure::failed(format!(
            "cannot make a directory for the build cache: {error}"
        ))
    })
}

/// One build, with all that is known of it.
struct Build<'a> {
    verb: &'a BuildVerb,
    strict: bool,
    report: &'a Report,
    arguments: Arguments,
    drafts: Vec<Draft>,
    docker: Docker,
    builder: Builder,
    strategy: Strategy,
    job: Job,
    cache: Option<PathBuf>,
}

impl Build<'_> {
    async fn run(&self) -> Done<Came> {
        let mut came = Came {
            builder: Some(self.builder.clone()),
            strategy: Some(self.strategy),
            leaks: leaks::of_arguments(self.arguments.build_args()),
            ..Came::default()
        };
        // While the build runs, signals are passed on to it; before and after, they end the job.
        let mut signals = Signals::catch()?;
        let (mut note, restored) = signals.end(self.restore()).await?;
        let sources = restored.as_ref().map(|it| it.sources.clone());
        let sources = sources.unwrap_or_default();
        came.restored = restored;
        came.laps.end("restore");
        let (started, started_ms) = (Instant::now(), now_ms());
        let (status, said) = self.build(&sources, &mut signals).await?;
        came.build_ms = ms_since(started);
        came.exit_code = code_of(status);
        came.cached_steps = said.cached;
        came.build = said.build(started_ms, came.build_ms, came.exit_code != 0);
        came.laps.end("command");
        if came.exit_code != 0 {
            self.report.note("the build failed; nothing saved");
            return Ok(came);
        }
        if self.strategy == Strategy::Nothing {
            return Ok(came);
        }
        note.build_ms = Some(came.build_ms);
        let save = Box::pin(self.save(&mut came, note, &said, &sources));
        signals.end(save).await?;
        Ok(came)
    }

    /// Saves what the build made, or leaves a note for a later `larder save`.
    async fn save(
        &self,
        came: &mut Came,
        mut note: JobNote,
        said: &Progress,
        sources: &Sources,
    ) -> Done<()> {
        let looked = self.look(said, sources).await;
        came.laps.end("look");
        // The build succeeded, and its exit code stands.
        let Some((what, leaks)) = self.report.or_miss("nothing saved", self.strict, looked)? else {
            return Ok(());
        };
        came.leaks.extend(leaks);
        leaks::tell(&came.leaks, self.verb.deny_secrets, self.report)?;
        if self.verb.no_save {
            note.built = Some(what.sources);
            note.cache.clone_from(&self.cache);
            self.job.note.leave(&note, self.report);
            return Ok(());
        }
        let plan = note.plan.clone();
        let saved = super::saved(&self.job, &what, &note, plan, self.strict, self.report);
        came.saved = saved.await?;
        came.laps.end("save");
        Ok(())
    }

    /// What is to be saved, and the secrets in it.
    async fn look(
        &self,
        said: &Progress,
        sources: &Sources,
    ) -> Result<(What, Vec<Leak>), ArchiveError> {
        let mut what = self.what(said, sources).await?;
        what.use_cache(self.cache.as_deref());
        let leaks = leaks::of_images(&self.job.engine, &what).await?;
        Ok((what, leaks))
    }

    async fn restore(&self) -> Done<(JobNote, Option<Restored>)> {
        let wanted = Wanted {
            drafts: &self.drafts,
            always: self.verb.worth.always,
            cache: self.cache.as_deref(),
        };
        let none = self.verb.no_restore
            || self.arguments.is_on("--no-cache")
            || self.strategy == Strategy::Nothing;
        let wanted = (!none).then_some(&wanted);
        super::restored(&self.job, wanted, self.strict, self.report).await
    }

    /// Runs `docker build`, told where to find restored steps.
    async fn build(
        &self,
        sources: &Sources,
        signals: &mut Signals,
    ) -> Done<(ExitStatus, Progress)> {
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
                command.args(self.cache.as_deref().map(Strategy::cache_to));
            }
            Strategy::Parents | Strategy::StageImages | Strategy::Nothing => {}
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
        let buildkit = u8::from(self.builder != Builder::Classic).to_string();
        command.env("DOCKER_BUILDKIT", buildkit).arg("build");
        command
    }

    /// The options that name restored steps. The user's own `--cache-from` stands beside them.
    fn sources(&self, sources: &Sources) -> Vec<String> {
        self.strategy.cache_from(sources, self.cache.as_deref())
    }

    /// The images of stages that get names of ours, and the built one's.
    fn stage_images(&self) -> (Vec<StageImage>, StageImage) {
        stages::images(
            &self.job.lineage,
            self.drafts.first(),
            self.arguments.value("--target"),
        )
    }

    /// Whether the build pushes or exports its result under all its names: then it must get none of ours.
    fn is_sent_away(&self) -> bool {
        self.arguments.is_on("--push") || self.arguments.value("--output").is_some()
    }

    /// What there is to save now.
    async fn what(&self, said: &Progress, sources: &Sources) -> Result<What, ArchiveError> {
        let tags = self.arguments.values("--tag").map(str::to_owned);
        let mut names: Vec<String> = match self.strategy {
            Strategy::CacheFolder | Strategy::Nothing => return Ok(What::default()),
            Strategy::InlineCache => self.build_stages(sources).await?,
            Strategy::Parents | Strategy::StageImages => tags.collect(),
        };
        names.extend(said.stages.iter().cloned());
        if names.is_empty() {
            // The build has no name and its output was not read: all images are saved but the bases.
            let bases = save::bases(&self.drafts, &JobNote::default());
            return What::everything(&self.job, &bases).await;
        }
        What::named(&self.job, &names).await
    }

    /// Builds each stage once more, for an image with its inline cache. No step runs again: the engine has run
    /// it, or the build's sources have it. (Of the sources' steps the engine loaded only those that the build
    /// went on from.)
    async fn build_stages(&self, sources: &Sources) -> Result<Vec<String>, ArchiveError> {
        let (mut stages, built) = self.stage_images();
        let common = self.arguments.without(&stages::OF_THE_BUILD_ALONE);
        let mut names = Vec::new();
        if self.is_sent_away() {
            stages.push(built);
        } else {
            names.push(built.name);
        }
        for stage in stages {
            let former = self.job.engine.inspect(&stage.name).await?;
            let output = self.build_stage(&stage, sources, &common).await?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                let why = why.trim().lines().last().unwrap_or_default().to_owned();
                self.report.warning(&format!(
                    "the next job will not find the steps of {} in the cache: {why}",
                    stage.target.as_deref().unwrap_or("the last stage")
                ));
                continue;
            }
            if let Some(former) = former.filter(|_| progress::ran_a_step(&output.stderr)) {
                // BuildKit has not found what the build before found, and this image has other layers than that
                // one used: the image that both were to go on from is as good as ever.
                let mut tag = Command::new(&self.docker.program);
                tag.args(["tag", &former.id, &stage.name]);
                let tagged = tag.output().await.map_err(ArchiveError::RunDocker)?;
                if !tagged.status.success() {
                    self.report
                        .warning(&format!("cannot tag {} again", stage.name));
                }
            }
            names.push(stage.name);
        }
        Ok(names)
    }

    async fn build_stage(
        &self,
        stage: &StageImage,
        sources: &Sources,
        common: &[String],
    ) -> Result<Output, ArchiveError> {
        let mut command = self.command();
        command
            .args(self.sources(sources))
            .args(stages::INLINE)
            .args(["--progress=plain", "--tag", &stage.name])
            .args(stage.target.iter().flat_map(|target| ["--target", target]))
            .args(common)
            .args(&self.arguments.context)
            .kill_on_drop(true);
        command.output().await.map_err(ArchiveError::RunDocker)
    }
}
