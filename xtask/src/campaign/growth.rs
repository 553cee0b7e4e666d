//! `cargo xtask campaign growth`: job after job of one line, each with a commit and, unless all take the same, a tag of
//! its own, and what the last of them cost beside the first.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::store::{Kind, Stores};
use crate::bench::{circumstances, verdict};
use crate::job::larder::{self, Store};
use crate::{engine, process, say};
use xtask_tools::room;
use xtask_tools::wire::Line;

/// The last may cost so much more than the first.
const RATIO_MAX: f64 = 1.2;
/// How often a line is printed.
const LINE_EVERY: usize = 10;

/// Two stages over a base, as a service has: of each commit a layer of the tools' and one of the result.
const DOCKERFILE: &str = r#"FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin"]
FROM base AS build
RUN echo tools > /tools
COPY source /source
RUN yes "$(cat /source)" | head -c "$(cat /source | cut -d ' ' -f 1)m" > /out
FROM base
COPY --from=build /out /app
CMD ["/bin/sh", "-c", "head -n 1 /app"]
"#;

/// `$1`: the number of the commit; `$2`: MiB of each layer; `$3`: the image's tag.
const SCRIPT: &str = r#"set -e
printf '%s %s' "$2" "$1" > context/source
docker build --progress plain -t "app:$3" context > build.log 2>&1
[ "$(docker run --rm --network none "app:$3")" = "$2 $1" ]
"#;

/// Run job after job with a commit of its own each, and compare the cost of the last with that of the first
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    larder: larder::Which,
    /// How many
    #[arg(long, default_value_t = 500)]
    jobs: usize,
    /// Ends after so many minutes
    #[arg(long, default_value_t = 600)]
    minutes: u64,
    /// Size of the volume
    #[arg(long, default_value = "8GiB")]
    size: String,
    /// What may stay on it
    #[arg(long, default_value = "3GiB")]
    keep: String,
    /// MiB of each of the two layers that a commit makes
    #[arg(long, default_value_t = 64)]
    layer: usize,
    /// Every commit's image takes the tag of the one before
    #[arg(long)]
    one_tag: bool,
    /// The engine's image store: overlay2 or containerd
    #[arg(long, default_value = "overlay2")]
    image_store: String,
    /// The kind of store
    #[arg(long, value_enum, default_value = "folder")]
    store: Kind,
    /// The store is an S3 server behind a line, for example 20ms,100MB/s
    #[arg(long, value_name = "LINE")]
    far: Option<Line>,
    /// How many of the first and of the last jobs are compared
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    span: u16,
    /// Keeps the working directory
    #[arg(long)]
    keep_folder: bool,
    /// The working directory, where this runs on a machine of its own
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

impl Args {
    /// Where its store is.
    fn place(&self) -> String {
        match self.far {
            Some(line) => format!("an S3 server {} ms away", line.exchange.as_millis()),
            None => format!("{:?}", self.store),
        }
    }

    /// The tag of a commit's image.
    fn tag(&self, number: usize) -> String {
        if self.one_tag {
            "latest".to_owned()
        } else {
            number.to_string()
        }
    }
}

/// Runs the campaign.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(folder) = &args.inside {
        return Growth::ready(args, folder)?.run();
    }
    let (machine, place, _) = larder::place(&args.larder, args.keep_folder)?;
    let server = match args.far {
        Some(_) => engine::fast_s3_server()?,
        None => machine.moto_server,
    };
    std::os::unix::fs::symlink(server, place.path().join("s3_server"))?;
    room::enter(place.path())
}

/// What one job cost.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    used_bytes: f64,
    up: f64,
    build: f64,
    down: f64,
    collect: f64,
    requests: f64,
    fetched: f64,
    stored: f64,
}

struct Growth<'a> {
    args: &'a Args,
    folder: &'a Path,
    /// Its server, if it has one.
    _stores: Stores,
    store: Store,
}

impl<'a> Growth<'a> {
    fn ready(args: &'a Args, folder: &'a Path) -> Result<Self> {
        room::context(folder, DOCKERFILE)?;
        fs::write(folder.join("script"), SCRIPT)?;
        let server = folder.join("s3_server");
        let stores = match args.far {
            Some(line) => Stores::far(line, folder, &server)?,
            None => Stores::ready(args.store, folder, &server)?,
        };
        let store = stores.store("growth");
        Ok(Self {
            args,
            folder,
            _stores: stores,
            store,
        })
    }

    fn run(self) -> Result<()> {
        let (began, limit) = (Instant::now(), Duration::from_secs(self.args.minutes * 60));
        let mut costs = Vec::new();
        while costs.len() < self.args.jobs && began.elapsed() < limit {
            let cost = self.job(costs.len() + 1);
            costs.push(cost.with_context(|| format!("job {}", costs.len() + 1))?);
            if costs.len().is_multiple_of(LINE_EVERY) {
                let last = mean(&costs[costs.len() - LINE_EVERY..]);
                say::line(row(&format!("to {}", costs.len()), &last));
            }
        }
        let span = usize::from(self.args.span);
        ensure!(costs.len() > 2 * span, "too few jobs to compare");
        say::line(format!(
            "{}\n{}",
            circumstances()?,
            self.table(&costs, span)
        ));
        Ok(())
    }

    /// A job on a machine that knows nothing.
    fn job(&self, number: usize) -> Result<Cost> {
        let json = self.folder.join("report.json");
        let output = process::bare(self.folder.join("larder"))
            .env("HOME", self.folder.join("home"))
            .args(["run", "--project", "growth", "--engine", "private"])
            .args(["--store", &self.store.url, "--size", &self.args.size])
            .args(["--keep", &self.args.keep])
            .args(["--image-store", &self.args.image_store])
            .arg("--state")
            .arg(self.folder.join("state"))
            .arg("--json")
            .arg(&json)
            .args(["--", "sh", "script"])
            .args([number.to_string(), self.args.layer.to_string()])
            .arg(self.args.tag(number))
            .envs(self.store.environment.iter().cloned())
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .output()
            .context("cannot start larder")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let log = fs::read_to_string(self.folder.join("build.log")).unwrap_or_default();
        ensure!(output.status.success(), "it failed: {said}\n{log}");
        let report: Value = serde_json::from_slice(&fs::read(&json)?)?;
        let is_whole = !report["saved"].is_null() && report["restored"].is_null() == (number == 1);
        ensure!(is_whole, "not restored, or not saved: {said}");
        Ok(Cost::of(&report))
    }

    /// The first job of the line starts from nothing, fetches nothing, and is left out.
    fn table(&self, costs: &[Cost], span: usize) -> String {
        let (first, last) = (mean(&costs[1..=span]), mean(&costs[costs.len() - span..]));
        let most = costs.iter().map(|cost| cost.used_bytes).fold(0.0, f64::max);
        let mut text = format!(
            "{} jobs, {}, {}, {}, --size {} --keep {}, two layers of {} MiB each; at most {:.0} MB in use\n\n{HEAD}\n",
            costs.len(),
            if self.args.one_tag {
                "one tag"
            } else {
                "a tag each"
            },
            self.args.image_store,
            self.args.place(),
            self.args.size,
            self.args.keep,
            self.args.layer,
            megabytes(most),
        );
        let _ = writeln!(text, "{}", row(&format!("2 to {}", span + 1), &first));
        // Nothing grows any more by then, and there is something to drop.
        if let Some(second) = costs.get(span + 1..=2 * span) {
            let name = format!("{} to {}", span + 2, 2 * span + 1);
            let _ = writeln!(text, "{}", row(&name, &mean(second)));
        }
        let _ = writeln!(text, "{}", row(&format!("last {span}"), &last));
        for (what, ratio) in ratios(&first, &last) {
            let verdict = verdict(ratio <= RATIO_MAX);
            let _ = write!(text, "\n{what}: {ratio:.2} ({verdict})");
        }
        text
    }
}

const HEAD: &str = "\
| jobs | in use, MB | up, s | build, s | down, s | of it collecting, s | requests | fetched, MB | stored, MB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|";

fn row(name: &str, cost: &Cost) -> String {
    format!(
        "| {name} | {:.0} | {:.2} | {:.2} | {:.2} | {:.3} | {:.0} | {:.1} | {:.1} |",
        megabytes(cost.used_bytes),
        cost.up,
        cost.build,
        cost.down,
        cost.collect,
        cost.requests,
        megabytes(cost.fetched),
        megabytes(cost.stored),
    )
}

fn megabytes(bytes: f64) -> f64 {
    bytes / 1e6
}

fn ratios(first: &Cost, last: &Cost) -> [(&'static str, f64); 5] {
    [
        ("up", last.up / first.up),
        ("build", last.build / first.build),
        ("down", last.down / first.down),
        ("requests", last.requests / first.requests),
        ("bytes", last.fetched / first.fetched),
    ]
}

impl Cost {
    fn of(report: &Value) -> Self {
        let phases = report["phases"].as_array().cloned().unwrap_or_default();
        let mut cost = Self {
            used_bytes: number(&report["saved"]["used_blocks"]) * 65536.0,
            requests: number(&report["fetched"]["requests"]),
            fetched: number(&report["fetched"]["bytes"]),
            stored: number(&report["saved"]["stored_bytes"]),
            ..Self::default()
        };
        let mut part = &mut cost.up;
        for phase in &phases {
            let seconds = number(&phase["ms"]) / 1000.0;
            match phase["name"].as_str() {
                Some("command") => {
                    cost.build = seconds;
                    part = &mut cost.down;
                }
                Some("collect") => {
                    *part += seconds;
                    cost.collect += seconds;
                }
                _ => *part += seconds,
            }
        }
        cost
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

#[allow(clippy::cast_precision_loss)] // of some hundred jobs
fn mean(costs: &[Cost]) -> Cost {
    let count = costs.len() as f64;
    let of = |part: fn(&Cost) -> f64| costs.iter().map(part).sum::<f64>() / count;
    Cost {
        used_bytes: of(|cost| cost.used_bytes),
        up: of(|cost| cost.up),
        build: of(|cost| cost.build),
        down: of(|cost| cost.down),
        collect: of(|cost| cost.collect),
        requests: of(|cost| cost.requests),
        fetched: of(|cost| cost.fetched),
        stored: of(|cost| cost.stored),
    }
}
