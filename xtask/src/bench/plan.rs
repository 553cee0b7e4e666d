//! `bench plan`: what it costs to know the base images. Ten of them on a registry that is far away, by
//! `larder plan` and by asking for one after the other; a Dockerfile of 200 lines without the network;
//! and the parser alone.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::distribution::Registry;
use super::measure::seconds;
use super::table::{Common, Rounds, median, verdict};
use crate::dockerd::{Dockerd, ImageStore};
use crate::{cargo, process, say};
use xtask_tools::wire::{self, Line};

/// How far away the registry is. What a job takes longer at the second distance is round trips alone: what
/// the registry itself takes for ten requests, on the processors of this machine, is in both.
const DISTANCES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(150)];
const IMAGES: usize = 10;
/// What Larder promises: round trips for ten images that nobody asked for before, and for ten that
/// are remembered.
const COLD_BOUND: f64 = 4.0;
const WARM_BOUND: f64 = 2.0;
/// Milliseconds for a Dockerfile of that many lines.
const OFFLINE_BOUND: f64 = 10.0;
const OFFLINE_LINES: usize = 200;
/// Megabytes a second.
const PARSER_BOUND: f64 = 50.0;

/// Makes the images, each an index of one manifest, as most base images are indexes.
const IMAGES_SCRIPT: &str = r#"set -eu
cd "$BENCH_FOLDER"
for n in $(seq 0 9); do
    printf 'FROM scratch\nCOPY Dockerfile /\nENV NUMBER=%s\n' "$n" > Dockerfile
    image="$BENCH_REGISTRY/app$n:1"
    docker build --quiet --tag "$image-amd64" . > /dev/null
    docker push --quiet "$image-amd64" > /dev/null
    docker manifest create --insecure "$image" "$image-amd64" > /dev/null
    docker manifest push --insecure "$image" > /dev/null
done
"#;

/// The recipe that people script: one image after the other.
const ONE_BY_ONE: &str = r#"set -eu
for n in $(seq 0 9); do docker manifest inspect --insecure "$BENCH_REGISTRY/app$n:1" > /dev/null; done
"#;

/// Knowing the base images: ten on a far registry, a Dockerfile offline, the parser
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    repeated: Rounds,
}

/// Median seconds for ten images.
struct Far {
    one_by_one: f64,
    cold: f64,
    warm: f64,
}

impl Far {
    /// In the order of the table.
    fn lanes(&self) -> [f64; 3] {
        [self.one_by_one, self.cold, self.warm]
    }
}

/// Runs the benchmark.
pub(super) fn run(args: &Args) -> Result<()> {
    let (_, folder, program) = args.common.place()?;
    let registry = Registry::start(folder.path().join("registry"), folder.path())?;
    say::timed("ten images", || fill(&registry, folder.path()))?;
    let [near, far] = DISTANCES;
    let wires = [(near, Duration::ZERO), (far, Duration::ZERO), (near, near)];
    let mut asked = Vec::new();
    for (exchange, connection) in wires {
        let line = Line {
            exchange,
            connection,
            rate: None,
        };
        let port = wire::to(registry.port, line)?;
        asked.push(say::timed("ten images, far away", || {
            ask(&program, port, args.repeated.rounds, folder.path())
        })?);
    }
    let offline = offline(&program, args.repeated.rounds, folder.path())?;
    let parser = say::timed("the parser", parser)?;
    let table = table(args.repeated.rounds, &asked, offline, parser)?;
    args.common.show("plan", &table)
}

fn fill(registry: &Registry, folder: &Path) -> Result<()> {
    let engine = Dockerd::start(&folder.join("engine"), ImageStore::Overlay2)?;
    let context = folder.join("context");
    fs::create_dir_all(&context)?;
    let mut shell = docker_shell(IMAGES_SCRIPT, registry.port, folder);
    let shell = shell
        .env("DOCKER_HOST", engine.host())
        .env("DOCKER_BUILDKIT", "0")
        .env("BENCH_FOLDER", context);
    process::run(shell)?;
    engine.stop()
}

fn docker_shell(script: &str, port: u16, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .env("BENCH_REGISTRY", format!("127.0.0.1:{port}"))
        .env("DOCKER_CONFIG", folder.join("docker-config"));
    shell
}

/// The three ways in turn, each round.
fn ask(program: &Path, port: u16, rounds: u32, folder: &Path) -> Result<Far> {
    let work = tempfile::tempdir_in(folder)?;
    let stages = (0..IMAGES).map(|n| format!("FROM 127.0.0.1:{port}/app{n}:1 AS s{n}\n"));
    let copies = (0..IMAGES).map(|n| format!("COPY --from=s{n} /Dockerfile /{n}\n"));
    let last = std::iter::once("FROM scratch\n".to_owned());
    let file: String = stages.chain(last).chain(copies).collect();
    fs::write(work.path().join("Dockerfile"), file)?;
    let (mut one_by_one, mut cold, mut warm) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let home = work.path().join(format!("home-{round}"));
        fs::create_dir(&home)?;
        cold.push(seconds(&mut plan(program, work.path(), &home))?);
        warm.push(seconds(&mut plan(program, work.path(), &home))?);
        one_by_one.push(seconds(&mut docker_shell(ONE_BY_ONE, port, folder))?);
    }
    Ok(Far {
        one_by_one: median(one_by_one),
        cold: median(cold),
        warm: median(warm),
    })
}

/// `larder plan` on a machine that knows what is in `home`.
fn plan(program: &Path, context: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("plan").arg("--state").arg(home.join("state"));
    command.arg(context).env("HOME", home);
    command.env_remove("XDG_CACHE_HOME");
    command
}

/// Seconds of `larder plan --offline`, the start of the program included.
fn offline(program: &Path, rounds: u32, folder: &Path) -> Result<f64> {
    let context: PathBuf = folder.join("offline");
    fs::create_dir(&context)?;
    let stage = "FROM debian:12-slim AS s@\nARG VERSION=@\nENV LANG=C.UTF-8 \\\n    PATH=/app/bin:$PATH\n\
        RUN apt-get update && \\\n    apt-get install --yes --no-install-recommends git\n\
        WORKDIR /app\nCOPY --from=debian:12-slim /etc/os-release /from\nRUN make VERSION=$VERSION\n";
    let stages = OFFLINE_LINES / stage.lines().count();
    let file: String = (0..stages)
        .map(|n| stage.replace('@', &n.to_string()))
        .collect();
    fs::write(context.join("Dockerfile"), file)?;
    // One that has not run for a while is read from the disk first.
    let times: Result<Vec<f64>> = (0..=rounds * 3)
        .map(|_| seconds(plan(program, &context, folder).arg("--offline")))
        .collect();
    Ok(median(times?.into_iter().skip(1)))
}

/// Megabytes a second of the crate's own benchmark, for a Dockerfile of 100 stages.
fn parser() -> Result<f64> {
    let output = process::read(
        cargo::command("bench")
            .args(["--quiet", "--package", "larder-model"])
            .args(["--bench", "dockerfile", "--", "parse_file"]),
    )?;
    // Columns: fastest, slowest, median, mean; the last row is the largest file.
    let rates = output.lines().rfind(|line| line.contains("MB/s"));
    let median = rates.and_then(|line| line.split('│').nth(2));
    let rate = median.and_then(|text| text.trim().strip_suffix(" MB/s")?.parse().ok());
    rate.with_context(|| format!("the benchmark of the parser says no rate: {output}"))
}

/// Round trips, of what takes so many seconds at both distances.
fn trips(near: f64, far: f64) -> f64 {
    let [one, other] = DISTANCES.map(|distance| distance.as_secs_f64());
    (far - near) / (other - one)
}

fn table(rounds: u32, asked: &[Far], offline: f64, parser: f64) -> Result<String> {
    let mut text = format!(
        "Medians of {rounds} rounds; the start of the program is included.\n\n\
         | {IMAGES} images | seconds, each answer 50 ms late | 150 ms late | round trips | \
         50 ms, and connecting 50 ms |\n\
         |---|--:|--:|--:|--:|\n"
    );
    let [near, far, connected] = asked else {
        anyhow::bail!("there are three wires");
    };
    let rows = [
        "`docker manifest inspect`, one by one",
        "`larder plan`, nothing remembered",
        "`larder plan`, again",
    ];
    for (at, what) in rows.iter().enumerate() {
        let [near, far, connected] = [near, far, connected].map(|asked| asked.lanes()[at]);
        let trips = trips(near, far);
        writeln!(
            text,
            "| {what} | {near:.3} | {far:.3} | {trips:.1} | {connected:.3} |"
        )?;
    }
    text.push_str("\n| promise | measured | bound | |\n|---|--:|--:|---|\n");
    let offline = offline * 1e3;
    let rows = [
        (
            "ten images: round trips",
            trips(near.cold, far.cold),
            COLD_BOUND,
            true,
        ),
        (
            "ten images, remembered: round trips",
            trips(near.warm, far.warm),
            WARM_BOUND,
            true,
        ),
        (
            "`plan --offline` of 200 lines: ms",
            offline,
            OFFLINE_BOUND,
            true,
        ),
        ("parser: MB/s", parser, PARSER_BOUND, false),
    ];
    for (what, measured, bound, at_most) in rows {
        let holds = if at_most {
            measured <= bound
        } else {
            measured >= bound
        };
        let kind = if at_most { "at most" } else { "at least" };
        writeln!(
            text,
            "| {what} | {measured:.1} | {kind} {bound} | {} |",
            verdict(holds)
        )?;
    }
    Ok(text)
}
