//! The jobs of one machine, and what came of each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::machine::{Machine, STATE};
use crate::job::s3;
use crate::{process, say};
use xtask_tools::proxy::{Chaos, Fault};
use xtask_tools::random::Random;
use xtask_tools::room;

/// The name of the campaign's store.
pub(super) const STORE: &str = "cache";

/// A job that takes longer than its store was away, and this, hangs.
const HANG: Duration = Duration::from_secs(60);
/// A request that is not answered costs this, before it is made again.
const STALL: Duration = Duration::from_secs(20);
/// When a job is ended that hangs.
const LIMIT: Duration = Duration::from_secs(1200);
/// Bytes of noise in the image: so many that a job has something to fetch.
const NOISE_BYTES: u64 = 12 << 20;

/// Two kinds of steps: what changes, and what only reads. The last one is a pipe: a reader that fails in it must
/// not make a wrong image.
const DOCKERFILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
COPY noise /noise
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY version /version
RUN ["/bin/sh", "-c", "cat /noise | sha256sum | tee /sum; cat /version > /made"]
"#;

/// What came of a job.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is counted by itself")]
pub(super) struct Outcome {
    pub failed: bool,
    pub hung: bool,
    pub left: bool,
    pub lost: bool,
    pub restored: bool,
    /// It could not read what the store holds.
    pub trouble: bool,
    pub repeated: bool,
    pub saved: Option<String>,
    pub seconds: f64,
}

/// The jobs of one machine.
pub(super) struct Jobs<'a> {
    program: &'a Path,
    folder: PathBuf,
    machine: Machine,
    chaos: Arc<Chaos>,
    port: u16,
    lane: u64,
    random: Random,
    /// Whether nothing is waited for: the store is never away.
    quick: bool,
    sum: String,
    /// The newest snapshot of this lane.
    head: Option<String>,
    outcomes: Vec<Outcome>,
}

type Ended = (BTreeMap<Fault, u64>, u64, Vec<Outcome>);

impl<'a> Jobs<'a> {
    pub(super) fn new(
        program: &'a Path,
        folder: PathBuf,
        upstream: u16,
        lane: u64,
        (seed, quick): (u64, bool),
    ) -> Result<Self> {
        room::context(&folder, DOCKERFILE)?;
        let make = format!("head -c {NOISE_BYTES} /dev/urandom > \"$0\"; sha256sum < \"$0\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &make]).arg(folder.join("context/noise"));
        let sum = process::read(&mut shell)?;
        let machine = Machine::start(&folder)?;
        let listener = machine.listen()?;
        let port = listener.local_addr()?.port();
        let chaos = Chaos::new(upstream, seed * 1000 + lane, quick);
        chaos.serve(listener);
        Ok(Self {
            program,
            folder,
            machine,
            chaos,
            port,
            lane,
            quick,
            random: Random::new(seed * 1000 + lane + 500),
            sum: sum.split_whitespace().next().unwrap_or_default().to_owned(),
            head: None,
            outcomes: Vec::new(),
        })
    }

    /// Runs a job. The first one makes a snapshot in peace.
    pub(super) fn run_one(&mut self, met: &AtomicU64) -> Result<()> {
        let number = self.outcomes.len();
        let version = number / 3;
        fs::write(self.folder.join("context/version"), version.to_string())?;
        let before = self.chaos.counts();
        if number > 0 {
            self.bad_day();
        }
        let started = Instant::now();
        let child = self.start(number)?;
        let ended = wait(child, LIMIT, started)?;
        self.chaos.set_permille(0);
        // A quick job is over before its store goes away, and the next one meets that.
        let away = self.chaos.away_since(started);
        let faults = difference(&before, &self.chaos.counts());
        met.fetch_add(faults.values().sum(), Ordering::Relaxed);
        let took = started.elapsed();
        let stalls = [Fault::Stall, Fault::StallInBody];
        let stalls = stalls.iter().filter_map(|one| faults.get(one)).sum::<u64>();
        let stalled = STALL * u32::try_from(stalls).unwrap_or(u32::MAX);
        let mut outcome = self.judge(number, version, ended)?;
        outcome.hung = took > HANG + away + stalled;
        outcome.seconds = took.as_secs_f64();
        let left = self.machine.left_over()?;
        outcome.left = !left.is_empty();
        let bad = outcome.failed || outcome.hung || outcome.left || outcome.lost;
        say::line(format!(
            "{}machine {} job {number}: {:.0} s, away {} s, {faults:?}{}{}{}{}",
            if bad { "BAD " } else { "" },
            self.lane,
            outcome.seconds,
            away.as_secs(),
            if outcome.trouble { ", trouble" } else { "" },
            if outcome.repeated { ", repeated" } else { "" },
            if outcome.saved.is_some() {
                ", saved"
            } else {
                ", not saved"
            },
            if bad {
                format!(": {outcome:?} {left:?}")
            } else {
                String::new()
            },
        ));
        if bad {
            for file in ["said", "out"] {
                let kept = self.folder.join(format!("bad-{number}.{file}"));
                fs::copy(self.folder.join(file), kept)?;
            }
        }
        self.outcomes.push(outcome);
        Ok(())
    }

    /// Decides what happens during the next job, or a little later.
    fn bad_day(&mut self) {
        let permille = [30, 100, 200, 350];
        self.chaos
            .set_permille(permille[usize::try_from(self.random.below(4)).unwrap_or(0)]);
        let seconds = match self.random.below(60) {
            _ if self.quick => return,
            0..16 => 1 + self.random.below(5),
            16..20 => 8 + self.random.below(25),
            20 => 60 + self.random.below(120),
            _ => return,
        };
        let (chaos, delay) = (Arc::clone(&self.chaos), self.random.below(6_000));
        let away = Duration::from_secs(seconds);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(delay));
            chaos.go_away(away);
        });
    }

    fn start(&self, number: usize) -> Result<Child> {
        let state = self.folder.join(STATE);
        if state.exists() {
            fs::remove_dir_all(&state).context("the state folder")?;
        }
        // The report of the job before.
        let _ = fs::remove_file(self.report());
        let line = "docker build --progress plain -t app \"$0\" && \
            docker run --rm --network none app /bin/sh -c 'cat /made /sum; sha256sum /noise'";
        let mut run = self.machine.command(&self.program.to_string_lossy());
        let store = s3::store(STORE, self.port);
        run.args([
            "run",
            "--store",
            &store.url,
            "--project",
            &format!("lane-{}", self.lane),
        ])
        .args([
            "--engine",
            "private",
            "--size",
            "1GiB",
            "--retry-empty",
            "always",
        ])
        .args(["--fresh", "never", "--state"])
        .arg(state)
        .arg("--json")
        .arg(self.report())
        .args(["--", "sh", "-c", line])
        .arg(self.folder.join("context"))
        .current_dir(&self.folder)
        .envs(store.environment)
        .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
        .stdout(File::create(self.folder.join("out"))?)
        .stderr(File::create(self.folder.join("said"))?);
        run.spawn()
            .with_context(|| format!("job {number} does not start"))
    }

    fn report(&self) -> PathBuf {
        self.folder.join("report.json")
    }

    fn judge(&mut self, number: usize, version: usize, ended: Option<bool>) -> Result<Outcome> {
        let said = fs::read_to_string(self.folder.join("said"))?;
        let out = fs::read_to_string(self.folder.join("out"))?;
        let report: Value = fs::read(self.report())
            .map_or(Ok(Value::Null), |text| serde_json::from_slice(&text))?;
        let right = out.contains(&version.to_string()) && out.matches(&self.sum).count() == 2;
        let id = |of: &str| report[of]["snapshot"].as_str().map(str::to_owned);
        let (restored, saved) = (id("restored"), id("saved"));
        let outcome = Outcome {
            failed: ended != Some(true) || !right,
            trouble: report["not_saved"]["because"]
                .as_str()
                .is_some_and(|why| why.contains("stays the newest")),
            repeated: said.contains("running the command again"),
            lost: saved.is_some() && restored != self.head,
            restored: restored.is_some(),
            saved: saved.clone(),
            ..Outcome::default()
        };
        ensure!(
            number > 0 || saved.is_some(),
            "the first job saved nothing: {said}"
        );
        self.head = saved.or(self.head.take());
        Ok(outcome)
    }

    /// What was counted.
    pub(super) fn end(self) -> Ended {
        self.chaos.stopped.store(true, Ordering::Relaxed);
        let requests = self.chaos.requests.load(Ordering::Relaxed);
        (self.chaos.counts(), requests, self.outcomes)
    }
}

/// Whether the job ended well; `None` if it had to be ended.
fn wait(mut child: Child, limit: Duration, started: Instant) -> Result<Option<bool>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn difference(before: &BTreeMap<Fault, u64>, now: &BTreeMap<Fault, u64>) -> BTreeMap<Fault, u64> {
    let since = now
        .iter()
        .map(|(fault, count)| (*fault, count - before.get(fault).unwrap_or(&0)));
    since.filter(|(_, count)| *count > 0).collect()
}
