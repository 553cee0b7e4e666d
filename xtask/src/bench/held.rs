//! `bench held`: the same job on volumes that hold little and much: what is held must cost nothing, only what changes.
//!
//! What is held are pages that differ from each other and compress to almost nothing, so that hundreds of gigabytes
//! are made in minutes, and maps, packs and the file system are as large as with any content.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::measure::{Measure, drop_page_cache};
use super::memory;
use super::table::{Common, Rounds, median, megabytes, promises};
use crate::job::application::BASE;
use crate::job::larder::{Session, Store};
use crate::job::report::Report;
use crate::job::s3;
use crate::say;
use xtask_tools::wire::Line;

/// What Larder promises: the dearest costs at most so many times as much as the cheapest.
const BOUND: f64 = 1.2;
/// What one job adds at most, in gigabytes: all of it lies on this machine's disk until it is stored.
const STEP: u32 = 5;
/// How many places a measured job writes to, evenly spread over what is held, and how many MiB to each.
const PLACES: u32 = 10;
const CHANGED: u32 = 10;
/// Jobs that did the same before one is measured.
const CHANGES_BEFORE: u32 = 2;

/// `$1`: `fill` or `change`; `$2`, `$3`: the first gigabyte and the one after the last.
const SCRIPT: &str = r#"set -eu
docker image inspect "$BENCH_BASE" > /dev/null 2>&1 || docker import "$BENCH_BASE_TAR" "$BENCH_BASE" > /dev/null
docker volume create held > /dev/null
docker run --rm --network none --volume held:/data "$BENCH_BASE" perl -e "$BENCH_WRITER" "$@"
"#;

/// A file for each gigabyte, whose pages begin with their numbers; or noise in some places of them.
const WRITER: &str = r#"my ($what, $first, $end, $places, $changed) = @ARGV;
if ($what eq "fill") {
    for my $file ($first .. $end - 1) {
        open(my $out, ">:raw", "/data/$file") or die "open: $!";
        for my $piece (0 .. 999) {
            print $out join("", map { pack("Q<Q<x4080", $file + 1, $piece * 256 + $_) } 0 .. 255) or die "write: $!";
        }
        close($out) or die "close: $!";
    }
} else {
    open(my $noise, "<:raw", "/dev/urandom") or die "open: $!";
    for my $place (0 .. $places - 1) {
        my $at = int(($end - $first) * 1000 * $place / $places);
        open(my $out, "+<:raw", "/data/" . int($at / 1000)) or die "open: $!";
        sysseek($out, ($at % 1000) << 20, 0) or die "seek: $!";
        my $bytes = $changed << 20;
        read($noise, my $written, $bytes) == $bytes or die "read: $!";
        syswrite($out, $written) == $bytes or die "write: $!";
    }
}
"#;

/// The same job on volumes that hold little and much: seconds, requests and memory
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    repeated: Rounds,
    /// How much the volumes hold, in gigabytes, in rising order
    #[arg(long, value_delimiter = ',', default_value = "5,50,200")]
    held: Vec<u32>,
    /// Puts the store, an S3 server, behind a line, for example 20ms,100MB/s
    #[arg(long, value_name = "LINE")]
    far: Option<Line>,
}

/// A measured job, and the most memory that a process of Larder's took, in MB.
type Row = (Measure, u32);

/// A figure of a row.
type Figure = fn(&Row) -> f64;

/// Runs the benchmark.
pub(super) fn run(args: &Args) -> Result<()> {
    let (machine, folder, program) = args.common.place()?;
    let (mut store, _server) = s3::store_at(args.far, folder.path(), "store")?;
    let largest = args.held.iter().max().copied().unwrap_or_default();
    let size = format!("{}GiB", largest + largest / 4 + 10);
    store.environment.extend([
        ("LARDER_SIZE", size.clone()),
        ("LARDER_KEEP", size),
        ("LARDER_KEEP_VOLUMES", "true".to_owned()),
        ("LARDER_GC", "off".to_owned()),
    ]);
    let mut bench = Bench {
        program,
        base_tar: machine.base_tar,
        folder: folder.path().to_owned(),
        store,
        jobs: 0,
    };
    let mut held = 0;
    let mut volumes = Vec::new();
    for &gigabytes in &args.held {
        let what = format!("filled up to {gigabytes} GB");
        say::timed(&what, || bench.fill(held, gigabytes))?;
        held = gigabytes;
        let rounds = 0..args.repeated.rounds;
        let rows: Result<Vec<Row>> = rounds.map(|_| bench.measure(gigabytes)).collect();
        volumes.push((gigabytes, rows?));
    }
    let table = table(args, &volumes)?;
    args.common.show_by_distance("held", args.far, &table)
}

struct Bench {
    program: PathBuf,
    base_tar: PathBuf,
    folder: PathBuf,
    store: Store,
    jobs: u32,
}

impl Bench {
    /// Jobs of the main line that add what is missing, and some that change some of it: what the measured jobs know. As
    /// everywhere, those are the third of their kind: what a job reads is known after the first, and lies together
    /// after the second.
    fn fill(&mut self, from: u32, to: u32) -> Result<()> {
        for first in (from..to).step_by(STEP as usize) {
            self.job(
                "main",
                &[
                    "fill".to_owned(),
                    first.to_string(),
                    to.min(first + STEP).to_string(),
                ],
            )?;
        }
        for _ in 0..CHANGES_BEFORE {
            self.job("main", &changing(to))?;
        }
        Ok(())
    }

    /// A job of a branch of its own.
    fn measure(&mut self, held: u32) -> Result<Row> {
        let scope = format!("measured-{}", self.jobs);
        let row = self.job(&scope, &changing(held))?;
        let Measure {
            restore,
            build,
            save,
            ..
        } = row.0;
        say::line(format!(
            "{held:4} GB {restore:6.2} + {build:6.2} + {save:5.2} s, {} MB",
            row.1
        ));
        Ok(row)
    }

    /// Runs the script on a machine that has never seen Larder.
    fn job(&mut self, scope: &str, words: &[String]) -> Result<Row> {
        self.jobs += 1;
        let folder = self.folder.join(format!("job-{}", self.jobs));
        fs::create_dir(&folder)?;
        let session = Session {
            program: &self.program,
            store: &self.store,
            scope,
        };
        drop_page_cache()?;
        let mut larder = session.shell(&folder, |shell| {
            shell
                .args(["-c", SCRIPT, "sh"])
                .args(words)
                .env("BENCH_BASE", BASE)
                .env("BENCH_BASE_TAR", &self.base_tar)
                .env("BENCH_WRITER", WRITER)
                .env("DOCKER_CONFIG", folder.join("docker-config"));
        });
        let most = memory::most_of(&mut larder)?;
        let measure = measured(&folder.join("report.json"))?;
        fs::remove_dir_all(folder)?;
        Ok((measure, most))
    }
}

/// The script's words for a change of some of what is held.
fn changing(held: u32) -> [String; 5] {
    [
        "change".to_owned(),
        "0".to_owned(),
        held.to_string(),
        PLACES.to_string(),
        CHANGED.to_string(),
    ]
}

fn measured(report: &Path) -> Result<Measure> {
    let report = Report::read(report)?;
    Ok(Measure {
        restore: report.seconds_before("command"),
        build: report.seconds("command").context("no command")?,
        save: report.seconds_after("command"),
        fetched: report.fetched.bytes,
        requests: Some(report.fetched.requests),
        stored: report.saved()?.stored_bytes,
        ..Measure::default()
    })
}

fn table(args: &Args, volumes: &[(u32, Vec<Row>)]) -> Result<String> {
    let mut text = format!(
        "Medians of {} rounds, seconds; each job writes {CHANGED} MiB in each of {PLACES} places.\n\n\
         | held | up | job | down | requests | fetched | stored | memory |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
        args.repeated.rounds
    );
    let columns: [(&str, Figure); 5] = [
        ("up", |(job, _)| job.restore),
        ("job", |(job, _)| job.build),
        ("down", |(job, _)| job.save),
        ("requests", |(job, _)| job.requests()),
        ("memory", |(_, most)| f64::from(*most)),
    ];
    let middle = |rows: &[Row], value: Figure| median(rows.iter().map(value));
    for (held, rows) in volumes {
        let [up, job, down, requests, memory] = columns.map(|(_, value)| middle(rows, value));
        writeln!(
            text,
            "| {held} GB | {up:.2} | {job:.2} | {down:.2} | {requests:.0} | {:.1} MB | {:.1} MB | {memory:.0} MB |",
            middle(rows, |(job, _)| megabytes(job.fetched)),
            middle(rows, |(job, _)| megabytes(job.stored)),
        )?;
    }
    let ratios = columns.map(|(name, value)| {
        let all = volumes.iter().map(|(_, rows)| middle(rows, value));
        let (least, most) = all.fold((f64::MAX, 0.0), |(least, most): (f64, f64), one| {
            (least.min(one), most.max(one))
        });
        (name, most / least, BOUND)
    });
    let heading = "promise: the dearest against the cheapest";
    Ok(text + "\n" + &promises(heading, ratios))
}
