//! `cargo xtask campaign kills`: SIGKILL to a process of a job at a random moment; then a job that must work;
//! then the machine, which must be as before.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::job::{Job, Part, Setting, Times};
use super::store::{Kind, Stores};
use crate::job::larder;
use crate::say;
use xtask_tools::random::Random;
use xtask_tools::room::{self, Process, processes};
use xtask_tools::traces::Traces;

/// A job that has not ended by then hangs.
const HANG: Duration = Duration::from_secs(60);
/// How often the job after a kill is itself one that is killed.
const CHAINED: f64 = 0.6;
/// A store is listed at each start; after so many kills another one is begun.
const KILLS_PER_STORE: usize = 200;
/// Longer than a part took last time: the next may take longer.
const BEYOND: f64 = 1.15;

/// Kill processes of jobs, and see whether the next job works and nothing is left
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    larder: larder::Which,
    /// How many
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ends after so many minutes
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// In this part of jobs alone
    #[arg(long, value_enum)]
    during: Option<Part>,
    /// The kind of store
    #[arg(long, value_enum, default_value = "folder")]
    store: Kind,
    /// How the engine stands beside the machine's: private or takeover
    #[arg(long, default_value = "private")]
    engine: String,
    /// Keeps the working directory
    #[arg(long)]
    keep: bool,
    /// The working directory, where this runs on a machine of its own
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

/// Runs the campaign.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(folder) = &args.inside {
        return Kills::new(args, folder)?.run();
    }
    let (machine, place, _) = larder::place(&args.larder, args.keep)?;
    std::os::unix::fs::symlink(&machine.moto_server, place.path().join("moto_server"))?;
    room::enter(place.path())
}

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Client,
    Background,
    Program(&'static str),
    Any,
    All,
}

/// The background process more often than others: everything hangs on it.
const VICTIMS: [Victim; 10] = [
    Victim::Client,
    Victim::Background,
    Victim::Background,
    Victim::Background,
    Victim::Program("dockerd"),
    Victim::Program("containerd"),
    Victim::Program("containerd-shim-runc-v2"),
    Victim::Any,
    Victim::Any,
    Victim::All,
];

impl Victim {
    /// Those of these processes that are meant; of several that could be, the caller takes one.
    fn among(self, all: &[Process]) -> Vec<Process> {
        let meant = all.iter().filter(|process| match self {
            Self::Client => process.program() == "larder" && process.verb() == "run",
            Self::Background => process.verb() == "__serve",
            Self::Program(name) => process.program() == name,
            Self::Any | Self::All => true,
        });
        meant.cloned().collect()
    }
}

/// The table's row.
#[derive(Default)]
struct Counts {
    kills: [usize; 3],
    /// Of those in `up`, before the volume was on the record.
    before_record: usize,
    checked: usize,
    failed: usize,
    anew: usize,
    hangs: usize,
    left_over: usize,
    longest: Duration,
}

struct Kills<'a> {
    args: &'a Args,
    setting: Setting,
    stores: Stores,
    random: Random,
    counts: Counts,
    jobs: usize,
}

/// The store that is used now, and what is known of its jobs.
struct Baseline {
    store: String,
    /// `None` if a job since may have made another.
    stamp: Option<String>,
    times: Times,
    traces: Traces,
}

impl<'a> Kills<'a> {
    fn new(args: &'a Args, folder: &Path) -> Result<Self> {
        let stores = Stores::ready(args.store, folder, &folder.join("moto_server"))?;
        let setting = Setting {
            program: folder.join("larder"),
            folder: folder.to_owned(),
            engine: args.engine.clone(),
            environment: stores.store("").environment,
        };
        setting.prepare()?;
        Ok(Self {
            args,
            setting,
            stores,
            random: Random::new(args.seed),
            counts: Counts::default(),
            jobs: 0,
        })
    }

    fn run(mut self) -> Result<()> {
        let began = Instant::now();
        let limit = Duration::from_secs(self.args.minutes * 60);
        let mut baseline = self.baseline()?;
        while self.killed() < self.args.kills && began.elapsed() < limit {
            let before = self.killed();
            self.kill_one(&mut baseline)?;
            if self.random.share() >= CHAINED {
                self.check(&mut baseline)?;
            }
            let store = |killed: usize| killed / KILLS_PER_STORE;
            if store(before) != store(self.killed()) {
                self.check(&mut baseline)?;
                say::line(self.row(began.elapsed()));
                baseline = self.baseline()?;
            }
        }
        self.check(&mut baseline)?;
        say::line(HEAD);
        say::line(self.row(began.elapsed()));
        let Counts {
            failed,
            hangs,
            left_over,
            ..
        } = self.counts;
        anyhow::ensure!(failed + hangs + left_over == 0, "a promise is broken");
        Ok(())
    }

    fn killed(&self) -> usize {
        self.counts.kills.iter().sum()
    }

    fn start(&mut self, store: &str, news: &str) -> Result<Job> {
        self.jobs += 1;
        self.setting.start(store, self.jobs, news)
    }

    /// A new store with one snapshot, and one more job for the times.
    fn baseline(&mut self) -> Result<Baseline> {
        let store = self.stores.store(&format!("store-{}", self.jobs)).url;
        let mut first = self.start(&store, "")?;
        let (_, stamp) = first.works(None, 2 * HANG).context("the first job")?;
        first.forget();
        let traces = Traces::at_rest(&self.setting.state())?;
        let mut second = self.start(&store, "")?;
        let (times, _) = second
            .works(Some(&stamp), 2 * HANG)
            .context("the second job")?;
        second.forget();
        let left = traces.left(&self.setting.state())?;
        anyhow::ensure!(
            left.is_empty(),
            "a job to which nothing happened left {left:#?}"
        );
        Ok(Baseline {
            store,
            stamp: Some(stamp),
            times,
            traces,
        })
    }

    /// A job in which something is killed.
    fn kill_one(&mut self, baseline: &mut Baseline) -> Result<()> {
        let mut job = self.start(&baseline.store, &format!("{}", self.jobs))?;
        let part = self
            .args
            .during
            .or_else(|| self.random.one_of(&Part::ALL).copied());
        let part = part.context("a job has parts")?;
        if job.wait_for(part)? {
            sleep(
                baseline
                    .times
                    .of(part)
                    .mul_f64(self.random.share() * BEYOND),
            );
            self.kill(&job);
        }
        if job.end(HANG)?.is_none() {
            self.hang(&job);
        }
        if job.started_anew() {
            self.counts.anew += 1;
            baseline.stamp = None;
        }
        job.forget();
        Ok(())
    }

    fn kill(&mut self, job: &Job) {
        let all = processes();
        let part = job.part();
        // What is not there now cannot be killed: something else is.
        let mut meant = Vec::new();
        while meant.is_empty() && !all.is_empty() {
            let Some(victim) = self.random.one_of(&VICTIMS).copied() else {
                return;
            };
            meant = victim.among(&all);
            if !matches!(victim, Victim::All) {
                meant = self.random.one_of(&meant).cloned().into_iter().collect();
            }
        }
        for process in &meant {
            process.kill();
        }
        if meant.is_empty() {
            return;
        }
        self.counts.kills[part as usize] += 1;
        let record = std::fs::read_to_string(self.setting.state().join("session.json"));
        if part == Part::Up && record.map_or(true, |it| it.contains("\"device\":null")) {
            self.counts.before_record += 1;
        }
    }

    fn hang(&mut self, job: &Job) {
        self.counts.hangs += 1;
        let left: Vec<_> = processes().iter().map(|it| it.words.join(" ")).collect();
        say::line(format!("a job hangs: {}\n{}", job.said(), left.join("\n")));
        for process in processes() {
            process.kill();
        }
    }

    /// The next job, which must work, and the machine afterwards.
    fn check(&mut self, baseline: &mut Baseline) -> Result<()> {
        let began = Instant::now();
        let mut job = self.start(&baseline.store, "")?;
        self.counts.checked += 1;
        match job.works(baseline.stamp.as_deref(), HANG) {
            Ok((times, stamp)) => {
                baseline.stamp = Some(stamp);
                let took = began.elapsed();
                self.counts.longest = self.counts.longest.max(took);
                // One that cleared up took longer than the next one will.
                if times.all() < baseline.times.all().mul_f64(2.0) {
                    baseline.times = times;
                }
            }
            Err(why) => {
                self.counts.failed += 1;
                say::line(format!("after {} kills: {why:#}", self.killed()));
                if job.end(Duration::ZERO)?.is_none() {
                    self.hang(&job);
                }
            }
        }
        job.forget();
        let left = baseline.traces.left(&self.setting.state())?;
        if !left.is_empty() {
            self.counts.left_over += left.len();
            say::line(format!("after {} kills: {left:#?}", self.killed()));
            baseline.traces = Traces::look(&self.setting.state())?;
        }
        Ok(())
    }

    fn row(&self, took: Duration) -> String {
        let Counts {
            kills: [up, command, down],
            before_record,
            checked,
            failed,
            anew,
            hangs,
            left_over,
            longest,
        } = self.counts;
        format!(
            "| {:?}, {} | {} | {up} ({before_record}) / {command} / {down} | {checked} | {failed} | {anew} | {hangs} | \
             {left_over} | {:.1} s | {} min |",
            self.args.store,
            self.args.engine,
            self.killed(),
            longest.as_secs_f64(),
            took.as_secs() / 60
        )
    }
}

const HEAD: &str = "\
| store, engine | kills | in `up` (before the volume) / command / `down` | next jobs | that failed | started anew | hangs | left over | longest next job | took |
|---|---|---|---|---|---|---|---|---|---|";
