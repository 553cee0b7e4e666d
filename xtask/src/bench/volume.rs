//! `bench volume`: reading present blocks through Larder's volume against the same file system on
//! a plain loop file. The reader is a container with a named volume, so that both sides are what a
//! build meets: the engine's own disk.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::disk::Disk;
use super::table::{Common, Rounds, median, verdict};
use crate::dockerd::{Dockerd, ImageStore};
use crate::job::application::BASE;
use crate::job::larder::{self, Session};
use crate::{process, say};

/// What Larder promises: at least this part of the plain file's speed.
const BOUND: f64 = 0.5;

/// Writes a file, then reads it cold: in order, and 4 KiB at a time in random order. One line
/// (`sequential` or `random`, and seconds) for each reading.
const SCRIPT: &str = r#"set -eu
docker image inspect "$BENCH_BASE" > /dev/null 2>&1 || docker import "$BENCH_BASE_TAR" "$BENCH_BASE" > /dev/null
docker volume create bench > /dev/null
inside() { docker run --rm --network none --volume bench:/data "$BENCH_BASE" "$@"; }
inside dd if=/dev/urandom of=/data/file bs=1M count="$BENCH_MIB" status=none
for round in $(seq "$BENCH_ROUNDS"); do
    for order in sequential random; do
        sync
        echo 3 > /proc/sys/vm/drop_caches
        inside perl -e "$BENCH_READER" "$order" "$round" >> "$BENCH_RESULTS"
    done
done
docker volume rm bench > /dev/null
"#;

/// Random order is the same on both sides: its seed is the round. The clock is `date`, because the
/// base image's perl comes without `Time::HiRes`.
const READER: &str = r#"my ($order, $seed) = @ARGV;
my ($bytes, $reads) = $order eq "random" ? (4096, 4096) : (1 << 20, 0);
open(my $file, "<:raw", "/data/file") or die "open: $!";
my $blocks = (-s $file) / $bytes;
$reads ||= $blocks;
srand($seed);
my $start = `date +%s.%N`;
for my $read (0 .. $reads - 1) {
    my $block = $order eq "random" ? int(rand($blocks)) : $read;
    sysseek($file, $block * $bytes, 0) or die "seek: $!";
    sysread($file, my $buffer, $bytes) == $bytes or die "read: $!";
}
printf "%s %.6f\n", $order, `date +%s.%N` - $start;
"#;

/// Cold reads of present blocks through the volume, against a plain loop file
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    repeated: Rounds,
    /// Size of the file
    #[arg(long, default_value_t = 1024)]
    mib: u32,
}

/// Median seconds of one side.
struct Side {
    sequential: f64,
    random: f64,
}

/// Runs the benchmark.
pub(super) fn run(args: &Args) -> Result<()> {
    let (machine, folder, program) = args.common.place()?;
    let [plain_folder, larder_folder] =
        ["plain-file", "volume"].map(|name| folder.path().join(name));
    let plain = say::timed("read on a plain loop file", || {
        fs::create_dir_all(&plain_folder)?;
        let disk = Disk::create(&plain_folder)?;
        let engine = Dockerd::start(&disk.root(), ImageStore::Overlay2)?;
        let mut shell = Command::new("sh");
        add_job(args, &machine.base_tar, &plain_folder, &mut shell);
        process::run(shell.env("DOCKER_HOST", engine.host()))?;
        engine.stop()?;
        Side::read(&plain_folder)
    })?;
    let larder = say::timed("read on Larder's volume", || {
        let store = larder_folder.join("store");
        fs::create_dir_all(&store)?;
        let session = Session {
            program: &program,
            store: &larder::Store::folder(&store),
            scope: "main",
        };
        session.run_shell(&larder_folder, |shell| {
            add_job(args, &machine.base_tar, &larder_folder, shell);
        })?;
        Side::read(&larder_folder)
    })?;
    args.common.show("volume", &table(args, &plain, &larder)?)
}

fn add_job(args: &Args, base_tar: &Path, folder: &Path, shell: &mut Command) {
    shell
        .args(["-c", SCRIPT])
        .env("BENCH_BASE", BASE)
        .env("BENCH_BASE_TAR", base_tar)
        .env("BENCH_MIB", args.mib.to_string())
        .env("BENCH_ROUNDS", args.repeated.rounds.to_string())
        .env("BENCH_READER", READER)
        .env("BENCH_RESULTS", results(folder))
        .env("DOCKER_CONFIG", folder.join("docker-config"));
}

fn results(folder: &Path) -> std::path::PathBuf {
    folder.join("results")
}

/// The median of the lines that begin so.
fn rate(results: &str, order: &str) -> f64 {
    let lines = results.lines();
    median(lines.filter_map(|line| line.strip_prefix(order)?.trim().parse().ok()))
}

impl Side {
    fn read(folder: &Path) -> Result<Self> {
        let text = fs::read_to_string(results(folder)).context("the job wrote no results")?;
        let side = Self {
            sequential: rate(&text, "sequential"),
            random: rate(&text, "random"),
        };
        ensure!(
            side.sequential.is_finite() && side.random.is_finite(),
            "the results are not complete: {text}"
        );
        Ok(side)
    }
}

fn table(args: &Args, plain: &Side, larder: &Side) -> Result<String> {
    let mut text = format!(
        "Medians of {} cold readings of a file of {} MiB: all of it in order, 4096 times 4 KiB in random order.\n\n\
         | | plain loop file | larder's volume | speed against plain | |\n|---|--:|--:|--:|---|\n",
        args.repeated.rounds, args.mib
    );
    let rows = [
        ("sequential", plain.sequential, larder.sequential),
        ("random 4 KiB", plain.random, larder.random),
    ];
    for (what, plain, larder) in rows {
        let speed = plain / larder;
        let verdict = verdict(speed >= BOUND);
        writeln!(
            text,
            "| {what} | {plain:.2} s | {larder:.2} s | {speed:.2} | {verdict} (at least {BOUND}) |"
        )?;
    }
    Ok(text)
}
