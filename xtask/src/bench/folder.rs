//! `bench folder`: cargo's target directory from one fresh machine to the next, for this repository itself.
//!
//! The sources are the same tree for all lanes, with the times that they had: cargo compares them with those of what
//! it has built. A CI system's checkout has new ones; `git restore-mtime` gives them back, or cargo's
//! `-Zchecksum-freshness` does not look at them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::measure::{Measure, copy_folder, drop_page_cache, seconds};
use super::table::{Common, Rounds, median, megabytes, promises};
use crate::job::larder::Store;
use crate::job::report::Report;
use crate::job::s3;
use crate::{cargo, process, say};
use xtask_tools::wire::Line;

/// What Larder promises: at most so many times as long as with a directory that is kept, and as with an archive.
const BOUNDS: [f64; 2] = [1.3, 0.5];
/// Ways to keep the directory: on the disk, which is the ideal; with tar and zstd; with Larder.
const LANES: [&str; 3] = ["kept", "archive", "larder"];
const TARGET: &str = "target";
/// What the job before has left for the archive's lane, and what a measured one leaves.
const ARCHIVE: &str = "warm.tar.zst";
const SAVED: &str = "saved.tar.zst";

/// A cargo workspace on a fresh machine after one crate has changed: kept directory, archive, Larder
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    repeated: Rounds,
    /// The package that is built, without its tests [default: all of the workspace, with the tests]
    #[arg(long)]
    package: Option<String>,
    /// Crates that change, one at a time; all that depend on it are built again. Of this repository's commits, those
    /// that change `cli` are the most
    #[arg(long, value_delimiter = ',', default_value = "cli,page")]
    changed: Vec<String>,
    /// Jobs of the line before the measured one: one from nothing, the others after a change
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    builds_before: u32,
    /// The store, and the archive, are with an S3 server behind a line, for example 20ms,100MB/s
    #[arg(long, value_name = "LINE")]
    far: Option<Line>,
}

/// Runs the benchmark.
pub(super) fn run(args: &Args) -> Result<()> {
    let (_, folder, program) = args.common.place()?;
    let (store, _server) = s3::store_at(args.far, folder.path(), "store")?;
    let mut bench = Bench {
        args,
        program,
        folder: folder.path().to_owned(),
        store,
        revision: 0,
    };
    bench.prepare()?;
    let mut rows = Vec::new();
    for round in 1..=args.repeated.rounds {
        for changed in &args.changed {
            for lane in LANES {
                let row = bench.with_a_change(changed, |bench| bench.measure(lane))?;
                let (restore, build, save) = (row.restore, row.build, row.save);
                say::line(format!(
                    "{round} {changed:<8} {lane:<8} {restore:6.2} + {build:6.2} + {save:5.2} s"
                ));
                rows.push(((&**changed, lane), row));
            }
        }
    }
    let table = bench.table(&rows)?;
    args.common.show_by_distance("folder", args.far, &table)
}

struct Bench<'a> {
    args: &'a Args,
    program: PathBuf,
    folder: PathBuf,
    store: Store,
    /// How often a crate has changed.
    revision: u32,
}

impl Bench<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn target(&self) -> PathBuf {
        self.at("source").join(TARGET)
    }

    /// What the job before left in each lane.
    fn prepare(&mut self) -> Result<()> {
        let (source, tar) = (self.at("source"), self.at("source.tar"));
        fs::create_dir(&source)?;
        let mut archive = Command::new("git");
        archive.args(["archive", "--output"]).arg(&tar).arg("HEAD");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        process::run(archive.current_dir(repository))?;
        process::run(
            Command::new("tar")
                .arg("-xf")
                .arg(tar)
                .arg("-C")
                .arg(source),
        )?;
        let copied = format!(r#""$@" && cp -a {TARGET} {}"#, self.at("warm").display());
        say::timed("built from nothing", || {
            self.larder("main", &["sh", "-c", &copied, "sh"])
        })?;
        let mut changed = self.args.changed.iter().cycle();
        for _ in 1..self.args.builds_before {
            let changed = changed.next().context("no crate is to change")?;
            say::timed(
                &format!("one more job, after a change of {changed}"),
                || self.with_a_change(changed, Self::go_on),
            )?;
        }
        process::run(&mut pack(&self.at("warm"), &self.at(ARCHIVE)))?;
        self.carry(ARCHIVE, "--upload-file").map(drop)
    }

    /// The same job in the directory that is kept, and on the line of the store.
    fn go_on(&self) -> Result<()> {
        let (warm, target) = (self.at("warm"), self.target());
        fs::rename(&warm, &target)?;
        process::run(&mut self.build())?;
        fs::rename(target, warm)?;
        self.larder("main", &[]).map(drop)
    }

    /// Does something while this crate alone has changed.
    fn with_a_change<T>(
        &mut self,
        changed: &str,
        then: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        self.revision += 1;
        let sources = self.at("source/crates").join(changed).join("src");
        let roots = ["main.rs", "lib.rs"].map(|name| sources.join(name));
        let root = roots.iter().find(|root| root.exists());
        let root = root.with_context(|| format!("no crate {changed}"))?;
        let (text, modified) = (fs::read_to_string(root)?, fs::metadata(root)?.modified()?);
        let more = format!("\nconst _: u32 = {};\n", self.revision);
        fs::write(root, format!("{text}{more}"))?;
        let done = then(self);
        fs::write(root, text)?;
        fs::File::options()
            .write(true)
            .open(root)?
            .set_modified(modified)?;
        done
    }

    /// A job on a fresh machine.
    fn measure(&self, lane: &str) -> Result<Measure> {
        if self.target().exists() {
            fs::remove_dir_all(self.target())?;
        }
        if lane == "kept" {
            copy_folder(&self.at("warm"), &self.target())?;
        }
        drop_page_cache()?;
        match lane {
            "larder" => self.larder(&format!("measured-{}", self.revision), &[]),
            "archive" => self.with_archive(),
            _ => Ok(Measure {
                build: seconds(&mut self.build())?,
                ..Measure::default()
            }),
        }
    }

    fn with_archive(&self) -> Result<Measure> {
        let [warm, saved] = [ARCHIVE, SAVED].map(|name| self.at(name));
        fs::create_dir(self.target())?;
        Ok(Measure {
            restore: self.carry(ARCHIVE, "--output")?
                + seconds(&mut unpack(&warm, &self.target()))?,
            build: seconds(&mut self.build())?,
            save: seconds(&mut pack(&self.target(), &saved))?
                + self.carry(SAVED, "--upload-file")?,
            fetched: fs::metadata(&warm)?.len(),
            stored: fs::metadata(&saved)?.len(),
            ..Measure::default()
        })
    }

    /// Seconds for curl, with this option, to bring an archive to where the store is or back: none if that is this folder.
    fn carry(&self, archive: &str, option: &str) -> Result<f64> {
        let Some(mut curl) = s3::curl(&self.store, archive) else {
            return Ok(0.0);
        };
        seconds(curl.arg(option).arg(self.at(archive)))
    }

    /// The build, which needs nothing but what cargo has fetched before. As CI systems have it, it makes nothing that
    /// is of use to the same checkout alone.
    fn build(&self) -> Command {
        let mut build = cargo::command("build");
        build.args(["--offline", "--quiet"]);
        match &self.args.package {
            Some(package) => build.args(["--package", package]),
            None => build.args(["--workspace", "--all-targets"]),
        };
        build.env("CARGO_INCREMENTAL", "0");
        build.env_remove("CARGO_TARGET_DIR");
        build.current_dir(self.at("source"));
        build
    }

    fn what(&self) -> String {
        match &self.args.package {
            Some(package) => format!("package `{package}`"),
            None => "the workspace with its tests".to_owned(),
        }
    }

    /// The build, with something before it, in a session on a machine that has never seen Larder.
    fn larder(&self, scope: &str, before: &[&str]) -> Result<Measure> {
        let (state, json, build) = (self.at("state"), self.at("report.json"), self.build());
        let mut run = Command::new(&self.program);
        run.args(["run", "--dir", TARGET, "--gc", "off", "--store"]);
        run.arg(&self.store.url).arg("--state").arg(&state);
        run.envs(self.store.environment.iter().cloned());
        run.args(["--project", "larder", "--job", "build", "--scope", scope]);
        run.args(["--fallback", "main", "--json"]).arg(&json);
        run.arg("--").args(before).arg(build.get_program());
        run.args(build.get_args());
        for (name, value) in build.get_envs() {
            // One without a value is removed.
            match value {
                Some(value) => run.env(name, value),
                None => run.env_remove(name),
            };
        }
        let all = seconds(run.current_dir(self.at("source")))?;
        fs::remove_dir_all(state)?;
        let report = Report::read(&json)?;
        let build = report.seconds("command").context("no command")?;
        let restore = report.seconds_before("command");
        Ok(Measure {
            restore,
            build,
            save: all - restore - build,
            fetched: report.fetched.bytes,
            stored: report.saved()?.stored_bytes,
            ..Measure::default()
        })
    }

    fn table(&self, rows: &[((&str, &str), Measure)]) -> Result<String> {
        let used = process::read(Command::new("du").arg("-sm").arg(self.at("warm")))?;
        let used = used.split_whitespace().next().unwrap_or_default();
        let mut text = format!(
            "Medians of {} rounds, seconds: {} after a change of one crate, job {} of its line. The directory \
             held {used} MiB.\n\n\
             | changed | lane | restore | build | save | total | fetched | stored |\n|---|---|--:|--:|--:|--:|--:|--:|\n",
            self.args.repeated.rounds,
            self.what(),
            self.args.builds_before + 1,
        );
        let middle = |of: (&str, &str), value: fn(&Measure) -> f64| {
            let measured = rows.iter().filter(|(what, _)| *what == of);
            median(measured.map(|(_, measure)| value(measure)))
        };
        let mut ratios = Vec::new();
        for changed in &self.args.changed {
            for lane in LANES {
                let of = (&**changed, lane);
                writeln!(
                    text,
                    "| `{changed}` | {lane} | {:.2} | {:.2} | {:.2} | **{:.2}** | {:.1} MB | {:.1} MB |",
                    middle(of, |m| m.restore),
                    middle(of, |m| m.build),
                    middle(of, |m| m.save),
                    middle(of, Measure::total),
                    middle(of, |m| megabytes(m.fetched)),
                    middle(of, |m| megabytes(m.stored)),
                )?;
            }
            let total = |lane| middle((changed, lane), Measure::total);
            ratios.extend(LANES.into_iter().zip(BOUNDS).map(|(peer, bound)| {
                let what = format!("`{changed}`: total against {peer}");
                (what, total("larder") / total(peer), bound)
            }));
        }
        Ok(text + "\n" + &promises("promise", ratios))
    }
}

/// As actions/cache does it (toolkit `packages/cache/src/internal/tar.ts`).
fn pack(from: &Path, to: &Path) -> Command {
    let mut tar = Command::new("tar");
    tar.args(["--posix", "--use-compress-program", "zstdmt --long=30"]);
    tar.arg("-cf").arg(to).arg("-C").arg(from).arg(".");
    tar
}

fn unpack(from: &Path, to: &Path) -> Command {
    let mut tar = Command::new("tar");
    tar.args(["--use-compress-program", "unzstd --long=30"]);
    tar.arg("-xf").arg(from).arg("-C").arg(to);
    tar
}
