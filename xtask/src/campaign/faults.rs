//! `campaign faults`: a store on its bad days.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lane::{Jobs, Outcome, STORE};
use crate::bench::{circumstances, publish_in};
use crate::job::{larder, s3};
use crate::{process, say};
use xtask_tools::proxy::Fault;

/// Faults of a store at random requests of whole jobs
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    larder: larder::Which,
    /// Ends after so many faults
    #[arg(long, default_value_t = 2000)]
    faults: u64,
    /// Ends after so many minutes at the latest
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Decides the random numbers. Threads and time have their part, too: two runs are never the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Machines that run jobs at the same time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    machines: u64,
    /// Only faults that nobody has to wait for
    #[arg(long)]
    quick: bool,
    /// Keeps the working folder, with what each job said
    #[arg(long)]
    keep: bool,
    /// Prints the table without writing docs/RELIABILITY.md
    #[arg(long)]
    dry_run: bool,
}

/// Everything that was counted.
#[derive(Default)]
struct Totals {
    faults: BTreeMap<Fault, u64>,
    requests: u64,
    outcomes: Vec<Outcome>,
}

/// Runs the campaign.
pub(super) fn run(args: &Args) -> Result<()> {
    let (machine, folder, program) = larder::place(&args.larder, args.keep)?;
    let folder = folder.path();
    let reader = larder::example(&args.larder, "larder-store", "volumes")?;
    let server = s3::Server::start(&machine.moto_server, folder)?;
    let until = Instant::now() + Duration::from_secs(args.minutes * 60);
    let met = AtomicU64::new(0);
    let lanes = thread::scope(|scope| {
        let running: Vec<_> = (0..args.machines)
            .map(|lane| {
                let (program, met) = (&program, &met);
                let folder = folder.join(format!("machine-{lane}"));
                scope.spawn(move || {
                    let mut jobs =
                        Jobs::new(program, folder, server.port, lane, (args.seed, args.quick))?;
                    while met.load(Ordering::Relaxed) < args.faults && Instant::now() < until {
                        jobs.run_one(met)?;
                    }
                    Ok(jobs.end())
                })
            })
            .collect();
        let ended = running
            .into_iter()
            .map(|lane| lane.join().expect("a lane does not panic"));
        ended.collect::<Result<Vec<_>>>()
    })?;
    let mut totals = Totals::default();
    for (faults, requests, outcomes) in lanes {
        totals.requests += requests;
        totals.outcomes.extend(outcomes);
        for (fault, count) in faults {
            *totals.faults.entry(fault).or_default() += count;
        }
    }
    let (listed, marked) = look(&program, server.port)?;
    let verified = verify(&reader, server.port, folder)?;
    let rows = totals.rows(&listed, &marked, &verified);
    let text = format!("{}\n{}", circumstances()?, totals.table(&rows, &verified));
    say::line(&text);
    if !args.dry_run {
        publish_in("RELIABILITY.md", "faults", &text)?;
    }
    let mut promises = rows.iter().filter(|(_, _, is_promise)| *is_promise);
    ensure!(
        promises.all(|(_, count, _)| *count == 0),
        "a promise is broken"
    );
    Ok(())
}

/// What is counted, how often it was, and whether that should be never.
type Row = (&'static str, usize, bool);

/// The ids of all snapshots that are listed, and of those that are marked.
fn look(program: &Path, port: u16) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let store = s3::store(STORE, port);
    let mut ls = Command::new(program);
    ls.args(["ls", "--all", "--json", "--store", &store.url])
        .envs(store.environment);
    let listed: Value = serde_json::from_str(&process::read(&mut ls)?)?;
    let all = listed.as_array().context("a list")?;
    let ids = |marked: bool| {
        let some = all
            .iter()
            .filter(|one| !marked || one["marks"][0].is_object());
        some.filter_map(|one| one["id"].as_str().map(str::to_owned))
            .collect()
    };
    Ok((ids(false), ids(true)))
}

/// Volumes that were verified, and what is wrong with them.
struct Verified {
    volumes: usize,
    wrong: Vec<String>,
}

/// Reads every published volume, block by block, and has e2fsck look at it.
fn verify(reader: &Path, port: u16, folder: &Path) -> Result<Verified> {
    let images = folder.join("volumes");
    std::fs::create_dir_all(&images)?;
    let store = s3::store(STORE, port);
    let mut read = Command::new(reader);
    read.arg(&store.url).arg(&images).envs(store.environment);
    let said = say::timed("every published volume read", || process::read(&mut read))?;
    let mut verified = Verified {
        volumes: 0,
        wrong: Vec::new(),
    };
    for line in said.lines() {
        verified.volumes += 1;
        let (what, rest) = line.split_once(' ').unwrap_or_default();
        if what != "whole" {
            verified.wrong.push(line.to_owned());
            continue;
        }
        let image = PathBuf::from(rest);
        if let Err(error) = process::run(Command::new("/sbin/e2fsck").arg("-fn").arg(&image)) {
            verified.wrong.push(error.to_string());
        }
        std::fs::remove_file(&image)?;
    }
    ensure!(verified.volumes > 0, "no volume was published");
    Ok(verified)
}

impl Totals {
    fn count(&self, of: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.iter().filter(|outcome| of(outcome)).count()
    }

    fn rows(
        &self,
        listed: &BTreeSet<String>,
        marked: &BTreeSet<String>,
        verified: &Verified,
    ) -> [Row; 12] {
        let unlisted = self
            .outcomes
            .iter()
            .filter_map(|outcome| outcome.saved.as_ref());
        let unlisted = unlisted.filter(|id| !listed.contains(*id)).count();
        [
            ("jobs", self.outcomes.len(), false),
            (
                "of them restored a snapshot",
                self.count(|it| it.restored),
                false,
            ),
            (
                "could not start from the newest snapshot, and saved nothing",
                self.count(|it| it.trouble),
                false,
            ),
            (
                "ran the command again on an empty volume",
                self.count(|it| it.repeated),
                false,
            ),
            (
                "saved a snapshot",
                self.count(|it| it.saved.is_some()),
                false,
            ),
            ("failed builds", self.count(|it| it.failed), true),
            ("hangs", self.count(|it| it.hung), true),
            ("left over", self.count(|it| it.left), true),
            ("lost", self.count(|it| it.lost) + unlisted, true),
            ("marked", marked.len(), true),
            (
                "volumes read, block by block, and by `e2fsck -fn`",
                verified.volumes,
                false,
            ),
            ("damaged", verified.wrong.len(), true),
        ]
    }

    fn table(&self, rows: &[Row], verified: &Verified) -> String {
        let mut text = String::from("| fault | times |\n|---|--:|\n");
        for (fault, count) in &self.faults {
            let _ = writeln!(text, "| {} | {count} |", fault.name());
        }
        let faults: u64 = self.faults.values().sum();
        let _ = writeln!(
            text,
            "| **all**, of {} requests | **{faults}** |\n",
            self.requests
        );
        let longest = self
            .outcomes
            .iter()
            .map(|outcome| outcome.seconds)
            .fold(0.0, f64::max);
        text.push_str("| what | count |\n|---|--:|\n");
        for (what, count, is_promise) in rows {
            let _ = match (*is_promise, *count) {
                (true, 0) => writeln!(text, "| **{what}** | 0 |"),
                (true, _) => writeln!(text, "| **{what}** | **{count}** |"),
                (false, _) => writeln!(text, "| {what} | {count} |"),
            };
        }
        let _ = writeln!(text, "| longest job | {longest:.0} s |");
        for wrong in &verified.wrong {
            say::line(wrong);
        }
        text
    }
}
