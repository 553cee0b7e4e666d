//! Runs the tests in a few lanes: what a lane takes next is what nobody has begun yet.
//!
//! Tests that start engines stand on machines of their own (namespaces for mounts and network), so two of
//! them may run at once. Each has a process of its own, as in cargo-nextest: one that dies takes no other
//! along, and its time is known.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use super::Args;
use super::binaries::{self, Binary};
use super::outcome::Outcome;
use crate::engine::Machine;
use crate::{process, say};

/// Tests of engines wait for daemons, mounts and servers more than they compute: with one lane per core
/// the processor rests for half of the time.
const LANES_PER_CORE: usize = 2;

/// As Debian's packages and Google's call it.
const BROWSERS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

/// What tests find in their environment.
pub(super) struct Environment(Vec<(&'static str, OsString)>);

impl Environment {
    /// The machine's parts, and `PATH`.
    pub(super) fn new(machine: &Machine, programs: &Path) -> Self {
        let mut variables: Vec<(&'static str, OsString)> = vec![
            ("PATH", programs.into()),
            ("LARDER_TEST_MOTO", machine.moto_server.clone().into()),
            (
                "LARDER_TEST_OLDER_ENGINE",
                machine.older_engine.clone().into(),
            ),
            (
                "LARDER_TEST_NEWER_ENGINE",
                machine.newer_engine.clone().into(),
            ),
            ("LARDER_TEST_SCHEMAS", machine.schema_checker.clone().into()),
            ("LARDER_TEST_BASE", machine.base_tar.clone().into()),
        ];
        // Too large to be installed for one test.
        let browser = BROWSERS.iter().find_map(|name| process::which(name));
        variables.extend(browser.map(|path| ("LARDER_TEST_CHROMIUM", path.into())));
        Self(variables)
    }

    fn path(&self) -> &Path {
        Path::new(&self.0[0].1)
    }
}

/// A test program to run, whole or one test of it.
struct Job<'a> {
    binary: &'a Binary,
    test: Option<String>,
}

/// Runs the tests and says what each did as it ends.
pub(super) fn run(
    binaries: &[Binary],
    args: &Args,
    environment: &Environment,
) -> Result<Vec<Outcome>> {
    let waiting = Mutex::new(jobs(binaries, args, environment)?);
    let lanes = LANES_PER_CORE * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes)
            .map(|_| scope.spawn(|| lane(&waiting, args, environment)))
            .collect();
        let mut outcomes = Vec::new();
        for lane in lanes {
            outcomes.extend(lane.join().expect("a lane does not panic")?);
        }
        Ok(outcomes)
    })
}

fn jobs<'a>(
    binaries: &'a [Binary],
    args: &Args,
    environment: &Environment,
) -> Result<VecDeque<Job<'a>>> {
    let mut jobs = VecDeque::new();
    for binary in binaries {
        if binary.whole {
            jobs.push_back(Job { binary, test: None });
            continue;
        }
        for test in binaries::tests(binary, args, environment.path())? {
            let test = Some(test);
            jobs.push_back(Job { binary, test });
        }
    }
    Ok(jobs)
}

fn lane(
    waiting: &Mutex<VecDeque<Job>>,
    args: &Args,
    environment: &Environment,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    loop {
        let next = waiting
            .lock()
            .expect("no lane panics while it holds the queue")
            .pop_front();
        let Some(job) = next else {
            return Ok(outcomes);
        };
        let outcome = job.run(args, environment)?;
        say::line(outcome.told());
        outcomes.push(outcome);
    }
}

impl Job<'_> {
    fn run(&self, args: &Args, environment: &Environment) -> Result<Outcome> {
        let (log, path) = tempfile::NamedTempFile::new()
            .context("cannot make a file for what a test says")?
            .into_parts();
        let begin = Instant::now();
        let status = self
            .command(args, environment, log)?
            .status()
            .with_context(|| format!("cannot start {}", self.binary.path.display()))?;
        let output = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let test = self.test.iter().map(|test| format!(" {test}"));
        Ok(Outcome {
            name: format!("{}{}", self.binary.name, test.collect::<String>()),
            seconds: begin.elapsed().as_secs_f64(),
            success: status.success(),
            output: String::from_utf8_lossy(&output).into_owned(),
        })
    }

    fn command(&self, args: &Args, environment: &Environment, log: File) -> Result<Command> {
        let mut command = Command::new(&self.binary.path);
        // What a passed test said is looked through for the reason why it was skipped.
        command
            .current_dir(&self.binary.folder)
            .arg("--show-output");
        match &self.test {
            // Those that are ignored because they measure their process have one for themselves here.
            Some(test) => command
                .args(["--exact", test, "--include-ignored"])
                .args(&args.more),
            None => command.args(args.to_programs()),
        };
        command
            .envs(environment.0.iter().cloned())
            .stdin(Stdio::null())
            .stderr(log.try_clone().context("cannot share a file")?)
            .stdout(log);
        Ok(command)
    }
}

impl Outcome {
    /// A line when it passed, and all of its output when it did not.
    fn told(&self) -> String {
        let totals = self.totals();
        let mut text = format!("{:8.1} s  {}: ", self.seconds, self.name);
        if self.passed() {
            text.push_str(&match (totals.passed, totals.ignored) {
                (0, 1) => "ignored".to_owned(),
                (1, 0) => "ok".to_owned(),
                _ => totals.to_string(),
            });
            let skipped = self.skipped().map(|line| format!("\n            {line}"));
            text.extend(skipped);
        } else {
            text.push_str("FAILED\n");
            text.push_str(&self.output);
        }
        text
    }
}
