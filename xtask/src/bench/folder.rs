//! `bench folder`: cargo's target directory from one fresh machine to the next, for this repository itself.
//!
//! The sources are the same tree for all lanes, with the times that they had: cargo compares them with those of what
//! it has built. A CI system's checkout has new ones; `git restore-mtime` gives them back, or cargo's
//! `-Zchecksum-freshness` does not look at them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::lane::{copy_folder, drop_page_cache, word};
use super::table::{circumstances, median, megabytes, publish, verdict};
use crate::job::larder;
use crate::job::report::Report;
use crate::{cargo, engine, process, say, workplace};

/// What Larder promises: at most so many times as long as with a directory that is kept.
const BOUND_KEPT: f64 = 1.3;
/// At most this part of the time with an archive.
const BOUND_ARCHIVE: f64 = 0.5;
const TARGET: &str = "target";

/// A cargo workspace on a fresh machine after one crate has changed: kept directory, archive, Larder
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    larder: larder::Which,
    /// Measured builds of each lane; the table shows medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The crate that changes; all that depend on it are built again
    #[arg(long, default_value = "store")]
    changed: String,
    /// Keeps the working folder
    #[arg(long)]
    keep: bool,
    /// Prints the table without writing docs/BENCHMARKS.md
    #[arg(long)]
    dry_run: bool,
}

/// A way to keep the directory.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lane {
    /// It stays on the disk: the ideal
    Kept,
    /// tar and zstd, as the caches of CI systems do it
    Archive,
    /// Larder
    Larder,
}

const LANES: [Lane; 3] = [Lane::Kept, Lane::Archive, Lane::Larder];

/// One build on one fresh machine, in seconds and bytes.
#[derive(Default)]
struct Measure {
    restore: f64,
    build: f64,
    save: f64,
    fetched: u64,
    stored: u64,
}

impl Measure {
    fn total(&self) -> f64 {
        self.restore + self.build + self.save
    }
}

/// Runs the benchmark.
pub(super) fn run(args: &Args) -> Result<()> {
    let machine = engine::ready()?;
    let folder = workplace::create(&machine, args.keep)?;
    let mut bench = Bench {
        program: larder::ready(&args.larder, folder.path())?,
        folder: folder.path().to_owned(),
        changed: args.changed.clone(),
        revision: 0,
    };
    bench.prepare()?;
    let mut rows = Vec::new();
    for round in 1..=args.rounds {
        for lane in LANES {
            let measure = bench.measure(lane)?;
            say::line(format!(
                "{round} {:<8} {:6.2} + {:6.2} + {:5.2} = {:6.2} s",
                word(&lane),
                measure.restore,
                measure.build,
                measure.save,
                measure.total()
            ));
            rows.push((lane, measure));
        }
    }
    let text = format!("{}\n{}", circumstances()?, table(args, &bench, &rows)?);
    say::line(&text);
    if args.dry_run {
        Ok(())
    } else {
        publish("folder", &text)
    }
}

struct Bench {
    program: PathBuf,
    folder: PathBuf,
    changed: String,
    /// How often the crate has changed.
    revision: u32,
}

impl Bench {
    fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    fn target(&self) -> PathBuf {
        self.source().join(TARGET)
    }

    fn warm(&self) -> PathBuf {
        self.folder.join("warm")
    }

    fn archive(&self) -> PathBuf {
        self.folder.join("target.tar.zst")
    }

    /// What the job before left in each lane.
    fn prepare(&mut self) -> Result<()> {
        let source = self.source();
        fs::create_dir(&source)?;
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let tar = self.folder.join("source.tar");
        let mut archive = Command::new("git");
        archive.args(["archive", "--output"]).arg(&tar).arg("HEAD");
        process::run(archive.current_dir(repository))?;
        process::run(
            Command::new("tar")
                .arg("-xf")
                .arg(&tar)
                .arg("-C")
                .arg(&source),
        )?;
        self.change()?;
        let warm = self.warm();
        let copied = format!("\"$@\" && cp --archive {TARGET} {}", warm.display());
        say::timed("built from nothing", || {
            self.larder("main", |command| {
                command.args(["sh", "-c", &copied, "sh"]);
            })
        })?;
        say::timed("packed the archive", || pack(&self.warm(), &self.archive()))
    }

    /// Changes the crate: its text is another one.
    fn change(&mut self) -> Result<()> {
        self.revision += 1;
        let path = self
            .source()
            .join("crates")
            .join(&self.changed)
            .join("src/lib.rs");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let line = format!(
            "\n#[allow(dead_code)]\nconst REVISION_{}: u32 = 1;\n",
            self.revision
        );
        fs::write(&path, text + &line)?;
        Ok(())
    }

    fn measure(&mut self, lane: Lane) -> Result<Measure> {
        if self.target().exists() {
            fs::remove_dir_all(self.target())?;
        }
        if lane == Lane::Kept {
            copy_folder(&self.warm(), &self.target())?;
        }
        self.change()?;
        drop_page_cache()?;
        match lane {
            Lane::Kept => Ok(Measure {
                build: seconds(|| process::run(&mut self.build()))?,
                ..Measure::default()
            }),
            Lane::Archive => self.with_archive(),
            Lane::Larder => {
                let scope = format!("measured-{}", self.revision);
                self.larder(&scope, |_| {})
            }
        }
    }

    fn with_archive(&self) -> Result<Measure> {
        let saved = self.folder.join("saved.tar.zst");
        let measure = Measure {
            restore: seconds(|| self.unpack())?,
            build: seconds(|| process::run(&mut self.build()))?,
            save: seconds(|| pack(&self.target(), &saved))?,
            fetched: fs::metadata(self.archive())?.len(),
            stored: fs::metadata(&saved)?.len(),
        };
        fs::remove_file(saved)?;
        Ok(measure)
    }

    fn unpack(&self) -> Result<()> {
        fs::create_dir(self.target())?;
        let mut tar = Command::new("tar");
        tar.args(["--use-compress-program", "unzstd --long=30"]);
        process::run(
            tar.arg("-xf")
                .arg(self.archive())
                .arg("-C")
                .arg(self.target()),
        )
    }

    /// The build, which needs nothing but what cargo has fetched before.
    fn build(&self) -> Command {
        let mut build = cargo::command("build");
        build.args(["--offline", "--quiet", "--bin", "larder"]);
        // As CI systems have it: what it makes is of use to the same checkout alone.
        build
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("CARGO_TARGET_DIR");
        build.current_dir(self.source());
        build
    }

    /// The build in a session on a machine that has never seen Larder; `wrap` puts something before it.
    fn larder(&self, scope: &str, wrap: impl FnOnce(&mut Command)) -> Result<Measure> {
        let (state, json) = (self.folder.join("state"), self.folder.join("report.json"));
        let build = self.build();
        let mut run = Command::new(&self.program);
        run.args(["run", "--dir", TARGET, "--gc", "off", "--store"]);
        run.arg(self.folder.join("store"))
            .arg("--state")
            .arg(&state);
        run.args([
            "--project",
            "larder",
            "--job",
            "build",
            "--fallback",
            "main",
        ]);
        run.args(["--scope", scope, "--json"]).arg(&json).arg("--");
        wrap(&mut run);
        run.arg(build.get_program()).args(build.get_args());
        for (name, value) in build.get_envs() {
            match value {
                Some(value) => run.env(name, value),
                None => run.env_remove(name),
            };
        }
        let all = seconds(|| process::run(run.current_dir(self.source())))?;
        let report = Report::read(&json)?;
        fs::remove_dir_all(state)?;
        let build = report
            .seconds("command")
            .context("the report has no command")?;
        let up = report
            .phases
            .iter()
            .take_while(|phase| phase.name != "command");
        let restore = up.map(|phase| phase.ms / 1000.0).sum();
        Ok(Measure {
            restore,
            build,
            save: all - restore - build,
            fetched: report.fetched.bytes,
            stored: report.saved()?.stored_bytes,
        })
    }
}

/// As actions/cache does it (toolkit `packages/cache/src/internal/tar.ts`).
fn pack(from: &Path, to: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--posix", "--use-compress-program", "zstdmt --long=30"]);
    process::run(tar.arg("-cf").arg(to).arg("-C").arg(from).arg("."))
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

fn table(args: &Args, bench: &Bench, rows: &[(Lane, Measure)]) -> Result<String> {
    let used = process::read(Command::new("du").args(["-sm"]).arg(bench.warm()))?;
    let used = used.split_whitespace().next().unwrap_or_default();
    let mut text = format!(
        "Medians of {} rounds, seconds: `cargo build --bin larder` of this repository after a change of the crate \
         `{}`, on which others depend. The directory held {used} MiB.\n\n\
         | lane | restore | build | save | total | fetched | stored |\n|---|--:|--:|--:|--:|--:|--:|\n",
        args.rounds, args.changed
    );
    for lane in LANES {
        writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.2} | **{:.2}** | {:.1} MB | {:.1} MB |",
            word(&lane),
            middle(rows, lane, |m| m.restore),
            middle(rows, lane, |m| m.build),
            middle(rows, lane, |m| m.save),
            middle(rows, lane, Measure::total),
            middle(rows, lane, |m| megabytes(m.fetched)),
            middle(rows, lane, |m| megabytes(m.stored)),
        )?;
    }
    let [kept, archive, larder] = LANES.map(|lane| middle(rows, lane, Measure::total));
    text.push_str("\n| promise | measured | bound | |\n|---|--:|--:|---|\n");
    for (peer, ratio, bound) in [
        ("the kept directory", larder / kept, BOUND_KEPT),
        ("the archive", larder / archive, BOUND_ARCHIVE),
    ] {
        let verdict = verdict(ratio <= bound);
        writeln!(
            text,
            "| total against {peer} | {ratio:.2} | {bound} | {verdict} |"
        )?;
    }
    Ok(text)
}

fn middle(rows: &[(Lane, Measure)], lane: Lane, value: impl Fn(&Measure) -> f64) -> f64 {
    let of_lane = rows.iter().filter(|(of, _)| *of == lane);
    median(of_lane.map(|(_, measure)| value(measure)))
}
