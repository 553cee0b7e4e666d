//! A job of the campaign: a small build, whose steps should be in the cache, and a container that prints a
//! stamp that the first job made.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process;
use xtask_tools::room;

/// How often a job is looked at.
const PAUSE: Duration = Duration::from_millis(1);

const DOCKERFILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin"]
RUN ["/bin/sh", "-c", "date +%s%N > /stamp"]
"#;
/// Steps of it that can come from the cache.
const STEPS: usize = 3;

/// `$1`: where the job's files are; `$2`: something that no job built before, or nothing.
const SCRIPT: &str = r#"touch $1/begun
docker build --progress plain -t app context > $1/build.log 2>&1 || exit 9
docker run --rm app /bin/cat /stamp > $1/stamp || exit 8
if [ -n "$2" ]; then
  printf 'FROM app\nRUN ["/bin/sh", "-c", "echo %s > /news"]\n' $2 | docker build -q -t news - || exit 7
fi
touch $1/over
"#;

/// The parts of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    Up,
    Command,
    Down,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Up, Self::Command, Self::Down];
}

/// How jobs are run.
pub(super) struct Setting {
    pub(super) program: PathBuf,
    /// Where jobs keep their files, and the context of their build is.
    pub(super) folder: PathBuf,
    pub(super) engine: String,
    pub(super) environment: Vec<(&'static str, String)>,
}

impl Setting {
    /// Makes the context.
    pub(super) fn prepare(&self) -> Result<()> {
        room::context(&self.folder, DOCKERFILE)?;
        fs::write(self.folder.join("script"), SCRIPT)?;
        Ok(())
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Starts a job on a store. One with `news` also builds that.
    pub(super) fn start(&self, store: &str, number: usize, news: &str) -> Result<Job> {
        let folder = self.folder.join(format!("job-{number}"));
        fs::create_dir_all(&folder)?;
        let said = File::create(folder.join("said"))?;
        let child = process::bare(&self.program)
            .env("HOME", self.folder.join("home"))
            .arg("run")
            .args(["--project", "campaign", "--store", store, "--size", "2GiB"])
            .args(["--engine", &self.engine])
            .arg("--state")
            .arg(self.state())
            .arg("--json")
            .arg(folder.join("report.json"))
            .args(["--", "sh"])
            .arg(self.folder.join("script"))
            .arg(&folder)
            .arg(news)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("cannot start larder")?;
        Ok(Job {
            child,
            folder,
            began: Instant::now(),
        })
    }
}

/// How long the parts of a job took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times([Duration; 3]);

impl Times {
    pub(super) fn of(self, part: Part) -> Duration {
        self.0[part as usize]
    }

    pub(super) fn all(self) -> Duration {
        self.0.iter().sum()
    }
}

/// A job that runs.
pub(super) struct Job {
    child: Child,
    folder: PathBuf,
    began: Instant,
}

impl Job {
    /// The part that it is in now.
    pub(super) fn part(&self) -> Part {
        match ["begun", "over"].map(|mark| self.folder.join(mark).exists()) {
            [false, _] => Part::Up,
            [true, false] => Part::Command,
            [_, true] => Part::Down,
        }
    }

    /// Waits for the beginning of a part, or the job's end; whether the job still runs.
    pub(super) fn wait_for(&mut self, part: Part) -> Result<bool> {
        while self.child.try_wait()?.is_none() {
            if self.part() as usize >= part as usize {
                return Ok(true);
            }
            sleep(PAUSE);
        }
        Ok(false)
    }

    /// Waits for its end; `None` after this time.
    pub(super) fn end(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() || began.elapsed() > limit {
                return Ok(ended);
            }
            sleep(PAUSE);
        }
    }

    /// Waits for the end of a job that nothing happens to. Says what is wrong with it, if anything is.
    pub(super) fn works(
        &mut self,
        stamp: Option<&str>,
        limit: Duration,
    ) -> Result<(Times, String)> {
        let mut times = [Duration::ZERO; 3];
        let mut before = Duration::ZERO;
        for (at, part) in [Part::Command, Part::Down].into_iter().enumerate() {
            self.wait_for(part)?;
            times[at] = self.began.elapsed().saturating_sub(before);
            before = self.began.elapsed();
        }
        let status = self.end(limit)?;
        times[2] = self.began.elapsed().saturating_sub(before);
        let status = status.with_context(|| format!("no end within {limit:?}\n{}", self.said()))?;
        ensure!(status.success(), "{status}\n{}", self.said());
        let made = self.read("stamp");
        if let Some(stamp) = stamp {
            let report: Value = serde_json::from_str(&self.read("report.json"))?;
            ensure!(
                !report["restored"].is_null(),
                "started empty\n{}",
                self.said()
            );
            ensure!(!report["saved"].is_null(), "not saved\n{}", self.said());
            let cached = self.read("build.log").matches(" CACHED").count();
            ensure!(
                cached == STEPS,
                "{cached} steps from the cache\n{}",
                self.said()
            );
            ensure!(made == stamp, "the stamp {made:?} is not {stamp:?}");
        }
        Ok((Times(times), made))
    }

    /// Whether it took a snapshot for unusable: its steps ran again, and their results are the next job's.
    pub(super) fn started_anew(&self) -> bool {
        self.said().contains("starting empty")
    }

    /// What it and its command said.
    pub(super) fn said(&self) -> String {
        self.read("said")
    }

    fn read(&self, name: &str) -> String {
        read(&self.folder.join(name))
    }

    /// Removes its files.
    pub(super) fn forget(self) {
        // The command of a killed `run` may still write there.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map_or_else(
        |_| String::new(),
        |text| String::from_utf8_lossy(&text).into_owned(),
    )
}
