//! `bench rolling`: one build on each machine, after a change, in four lanes.

mod kept;
mod lane;
mod larder;
mod registry;

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use self::kept::{Fresh, Kept};
use self::lane::{Case, Lane, LaneName, word};
use self::larder::Larder;
use self::registry::RegistryCache;
use super::measure::{Measure, drop_page_cache};
use super::table::{Common, Rounds, median, megabytes, promises};
use crate::engine::{self, Machine};
use crate::job::{self, Job, s3};
use crate::{say, workplace};
use xtask_tools::wire::Line;

/// Rebuild after a change on a fresh machine: no cache, kept disk, registry cache, Larder
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    repeated: Rounds,
    /// Which lanes
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "none,kept,registry,larder"
    )]
    lanes: Vec<LaneName>,
    /// Which cases
    #[arg(long, value_delimiter = ',', default_value = "source,deps,base,same")]
    cases: Vec<Case>,
    /// Builds before the measured ones, each with another change of a source file: what a lineage of some
    /// jobs has learnt
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    builds_before: u32,
    /// Builds a small application instead of the example: six steps, 1.4 GB held, of which a build needs little
    #[arg(long)]
    small: bool,
    /// The image store of Larder's engine
    #[arg(long, default_value = "overlay2")]
    image_store: String,
    /// Puts the store, an S3 server, and the registry behind a line, for example 20ms,100MB/s
    #[arg(long, value_name = "LINE")]
    far: Option<Line>,
    /// Writes every measured build to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A measured build and what it was.
#[derive(Serialize)]
struct Row {
    round: u32,
    lane: LaneName,
    case: Case,
    cached_steps: usize,
    steps: usize,
    #[serde(flatten)]
    measure: Measure,
}

/// Runs the benchmark.
pub(super) fn run(args: &Args) -> Result<()> {
    let machine = engine::ready()?;
    let folder = workplace::create(&machine, args.common.keep)?;
    let bench = Bench {
        program: OnceCell::new(),
        other_base: other_base(&machine.base_tar, folder.path())?,
        folder: folder.path(),
        machine: &machine,
        args,
    };
    let mut lanes = bench.warm_lanes(&args.lanes)?;
    let mut rows = Vec::new();
    for round in 1..=args.repeated.rounds {
        for &case in &args.cases {
            for lane in &mut lanes {
                rows.push(bench.measure(lane.as_mut(), case, round)?);
            }
        }
    }
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_vec_pretty(&rows)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let name = if args.far.is_some() { "far" } else { "rolling" };
    let tables = format!("{}\n{}", table(args, &rows), verdicts(args, &rows));
    args.common.show(name, &tables)
}

struct Bench<'a> {
    /// Larder, once a lane needs it.
    program: OnceCell<PathBuf>,
    args: &'a Args,
    folder: &'a Path,
    machine: &'a Machine,
    other_base: PathBuf,
}

impl Bench<'_> {
    fn warm_lanes(&self, names: &[LaneName]) -> Result<Vec<Box<dyn Lane>>> {
        let mut lanes = Vec::new();
        for &name in names {
            let mut lane = self.lane(name)?;
            say::timed(&format!("{:<8} warmed up", word(&name)), || {
                (0..self.args.builds_before)
                    .try_for_each(|build| self.warm_up(lane.as_mut(), build))
            })?;
            lanes.push(lane);
        }
        Ok(lanes)
    }

    fn warm_up(&self, lane: &mut dyn Lane, build: u32) -> Result<()> {
        let folder = self
            .folder
            .join(format!("warm-{}-{build}", word(&lane.name())));
        let mut job = self.job(folder)?;
        // Revisions of measured builds are those of their rounds.
        let revision = if build == 0 { 0 } else { 1000 + build };
        if revision > 0 {
            job.application.change_source(revision)?;
        }
        lane.warm_up(&mut job, revision)
    }

    fn job(&self, folder: PathBuf) -> Result<Job> {
        let job = Job::create(folder, &self.machine.base_tar)?;
        if self.args.small {
            job.application.make_small()?;
        }
        Ok(job)
    }

    fn lane(&self, name: LaneName) -> Result<Box<dyn Lane>> {
        Ok(match name {
            LaneName::None => Box::<Fresh>::default(),
            LaneName::Kept => Box::new(Kept::new(self.folder.join("kept.img"))),
            LaneName::Registry => {
                let folder = self.folder.join("registry");
                Box::new(RegistryCache::new(folder, self.args.far))
            }
            LaneName::Larder | LaneName::NextDoor => {
                let program = self.program()?;
                let far = self.args.far.filter(|_| name == LaneName::Larder);
                let (mut store, server) =
                    s3::store_at(far, self.folder, &format!("store-{}", word(&name)))?;
                let image_store = ("LARDER_IMAGE_STORE", self.args.image_store.clone());
                store.environment.push(image_store);
                Box::new(Larder::new(name, program, store, server))
            }
        })
    }

    /// One copy for all lanes: it cannot be written again while a collection of an earlier one runs.
    fn program(&self) -> Result<PathBuf> {
        if let Some(program) = self.program.get() {
            return Ok(program.clone());
        }
        let program = job::larder::ready(&self.args.common.larder, self.folder)?;
        Ok(self.program.get_or_init(|| program).clone())
    }

    fn measure(&self, lane: &mut dyn Lane, case: Case, round: u32) -> Result<Row> {
        let (lane_word, case_word) = (word(&lane.name()), word(&case));
        let folder = self.folder.join(format!("{lane_word}-{case_word}-{round}"));
        let mut job = self.job(folder)?;
        let revision = self.change(&mut job, case, round)?;
        lane.prepare(&mut job)?;
        drop_page_cache()?;
        let measure = lane
            .measure(&job, revision)
            .with_context(|| format!("lane {lane_word}, case {case_word}, round {round}"))?;
        let (cached_steps, steps) = job.cached_steps()?;
        say::line(format!(
            "{round} {case_word:<7} {lane_word:<9} {:6.2} + {:6.2} + {:5.2} = {:6.2} s, {cached_steps}/{steps} steps cached",
            measure.restore,
            measure.build,
            measure.save,
            measure.total(),
        ));
        Ok(Row {
            round,
            lane: lane.name(),
            case,
            cached_steps,
            steps,
            measure,
        })
    }

    /// Returns the revision that the built application must report.
    fn change(&self, job: &mut Job, case: Case, round: u32) -> Result<u32> {
        match case {
            Case::Source => {
                job.application.change_source(round)?;
                return Ok(round);
            }
            Case::Deps => job.application.add_dependency()?,
            Case::Base => {
                job.base_tar.clone_from(&self.other_base);
                job.base_moved = true;
            }
            Case::Same => {}
        }
        Ok(0)
    }
}

/// The base image with one more file: what a rebuilt base image is to its users.
fn other_base(base_tar: &Path, folder: &Path) -> Result<PathBuf> {
    let tar = folder.join("other-base.tar");
    fs::copy(base_tar, &tar).with_context(|| format!("cannot copy {}", base_tar.display()))?;
    let root = folder.join("other-base/etc");
    fs::create_dir_all(&root)?;
    fs::write(root.join("base-release"), "2\n")?;
    crate::process::run(
        std::process::Command::new("tar")
            .arg("--append")
            .arg("--file")
            .arg(&tar)
            .arg("--directory")
            .arg(folder.join("other-base"))
            .arg("./etc/base-release"),
    )?;
    Ok(tar)
}

fn table(args: &Args, rows: &[Row]) -> String {
    let mut text = format!(
        "Medians of {} rounds, seconds. *restore*: from nothing until the job can use the engine (for every lane \
         that includes starting the engine); *save*: from the job's end until everything is stored and the engine \
         has stopped.\n\n\
         | case | lane | restore | build | save | total | of it engine start | engine stop | fetched | requests | stored | steps cached |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        args.repeated.rounds
    );
    for &case in &args.cases {
        for &lane in &args.lanes {
            let measured = Measured { rows, lane, case };
            let first = measured.rows().next();
            let steps = first.map_or_else(String::new, |row| {
                format!("{} of {}", row.cached_steps, row.steps)
            });
            let _ = writeln!(
                text,
                "| {} | {} | {:.2} | {:.2} | {:.2} | **{:.2}** | {} | {} | {:.1} MB | {} | {:.1} MB | {steps} |",
                word(&case),
                word(&lane),
                measured.median(|m| m.restore),
                measured.median(|m| m.build),
                measured.median(|m| m.save),
                measured.median(Measure::total),
                seconds(measured.median(|m| m.engine_start.unwrap_or(f64::NAN))),
                seconds(measured.median(|m| m.engine_stop.unwrap_or(f64::NAN))),
                measured.median(|m| megabytes(m.fetched)),
                requests(measured.median(Measure::requests)),
                measured.median(|m| megabytes(m.stored)),
            );
        }
    }
    text
}

fn requests(value: f64) -> String {
    if value.is_nan() {
        "-".to_owned()
    } else {
        format!("{value:.0}")
    }
}

fn seconds(value: f64) -> String {
    if value.is_nan() {
        "-".to_owned()
    } else {
        format!("{value:.2}")
    }
}

/// What one lane did in one case.
struct Measured<'a> {
    rows: &'a [Row],
    lane: LaneName,
    case: Case,
}

impl Measured<'_> {
    fn rows(&self) -> impl Iterator<Item = &Row> {
        let rows = self.rows.iter();
        rows.filter(|row| row.lane == self.lane && row.case == self.case)
    }

    fn median(&self, value: impl Fn(&Measure) -> f64) -> f64 {
        median(self.rows().map(|row| value(&row.measure)))
    }

    fn total(&self) -> f64 {
        self.median(Measure::total)
    }

    fn build(&self) -> f64 {
        self.median(|m| m.build)
    }
}

/// The ratios that Larder promises, where their lanes were measured.
fn verdicts(args: &Args, rows: &[Row]) -> String {
    use Case::{Same, Source};
    let [larder, registry, none, kept, next_door] = [
        LaneName::Larder,
        LaneName::Registry,
        LaneName::None,
        LaneName::Kept,
        LaneName::NextDoor,
    ]
    .map(|lane| Measured {
        rows,
        lane,
        case: Source,
    });
    let [larder_same, kept_same] = [LaneName::Larder, LaneName::Kept].map(|lane| Measured {
        rows,
        lane,
        case: Same,
    });
    let around = larder.median(|m| m.restore + m.save);
    let plain =
        none.median(|m| m.engine_start.unwrap_or(f64::NAN) + m.engine_stop.unwrap_or(f64::NAN));
    let mut promised = vec![
        (
            "source: total against registry",
            larder.total() / registry.total(),
            0.2,
        ),
        (
            "source: total against none",
            larder.total() / none.total(),
            0.3,
        ),
        (
            "source: total against next door",
            larder.total() / next_door.total(),
            // The second job of a lineage has no hot list yet.
            if args.builds_before > 1 { 1.25 } else { 2.5 },
        ),
        (
            "source: build against kept",
            larder.build() / kept.build(),
            1.5,
        ),
        (
            "same: build against kept",
            larder_same.build() / kept_same.build(),
            1.5,
        ),
        (
            "source: restore + save against a plain engine's start + stop",
            around / plain,
            0.6,
        ),
        (
            "source: net as it is told, off from the lanes'",
            (larder.median(|m| m.net.unwrap_or(f64::NAN)) / (none.build() - larder.total()) - 1.0)
                .abs(),
            0.1,
        ),
    ];
    promised.retain(|(_, ratio, _)| ratio.is_finite());
    promises("promise", promised)
}
