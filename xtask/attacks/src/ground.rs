//! Where attacks are made: the program, what must stay as it is, an honest store, and how a command is judged.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xtask_tools::process;
use xtask_tools::random::Random;
use xtask_tools::room::{self, processes};
use xtask_tools::traces::Traces;

use super::Plan;
use super::victims::Victims;

/// Whatever somebody brings: a command has ended by then. A registry may take a minute (`registry/src/settings.rs`).
const LIMIT: Duration = Duration::from_secs(75);
const PAUSE: Duration = Duration::from_millis(2);
/// Of what a command said, so much is shown.
const SHOWN_CHARS: usize = 1500;

/// What Larder's commands end with (`settings/src/exit.rs`); a job's command has its own.
pub(crate) const CODES: [i32; 4] = [0, 1, 2, 3];

const DOCKERFILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox echo built > /word"]
"#;
/// Builds an image and has it say its word. What it prints is judged too.
pub(crate) const JOB: &str =
    "docker build -q -t app \"$0\" > /dev/null && docker run --rm app /bin/busybox cat /word";
/// That word.
pub(crate) const WORD: &str = "built";

/// A command that was run to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) line: String,
    /// `None` if it had to be ended, 128 and more if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    pub(crate) took: Duration,
}

pub(crate) struct Ground<'a> {
    plan: &'a Plan<'a>,
    pub(crate) victims: Victims,
    before: Traces,
    /// The attack's own directory.
    pub(crate) folder: PathBuf,
    /// A store with snapshots of a branch and of a pull request, once it was needed.
    honest: Option<PathBuf>,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(plan: &'a Plan<'a>) -> Result<Self> {
        let victims = Victims::new(plan.folder.join("victims"))?;
        fs::create_dir_all(plan.folder.join("etc"))?;
        fs::create_dir_all("/etc/docker")?;
        let etc = plan.folder.join("etc");
        rustix::mount::mount_bind(&etc, "/etc/docker").context("settings of the machine's own")?;
        room::context(plan.folder, DOCKERFILE)?;
        Ok(Self {
            before: Traces::look(&plan.folder.join("none"))?,
            plan,
            victims,
            folder: PathBuf::new(),
            honest: None,
        })
    }

    pub(crate) fn begin(&mut self, number: u64) -> Result<()> {
        self.folder = self.plan.folder.join(format!("attack-{number}"));
        fs::create_dir_all(&self.folder)?;
        Ok(())
    }

    /// What is wrong with the machine after an attack, whose files are removed.
    pub(crate) fn end(&mut self) -> Result<Vec<String>> {
        let mut broken = self.victims.harm()?;
        // By a program that goes wherever it can. With it goes what a session keeps of its own.
        process::run(Command::new("rm").arg("-rf").arg(&self.folder))?;
        let left = self.before.left(&self.folder.join("state"))?;
        if !left.is_empty() {
            broken.extend(left);
            for process in processes() {
                if !process.words.iter().any(|word| word == "1000000") {
                    process.kill();
                }
            }
            self.before = Traces::look(&self.plan.folder.join("none"))?;
        }
        for entry in fs::read_dir(self.plan.folder.join("etc"))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(broken)
    }

    pub(crate) fn larder(&self, words: &[&str]) -> Command {
        let mut command = process::bare(self.plan.program);
        command
            .args(words)
            .env("HOME", self.folder.join("home"))
            .env("LARDER_GC", "off")
            .current_dir(&self.folder);
        command
    }

    /// `larder run` of a small job on a store, as main's job.
    pub(crate) fn job(&self, store: &Path) -> Command {
        let mut command = self.larder(&["run", "--project", "shop", "--scope", "branch/main"]);
        command
            .args(["--size", "1GiB", "--engine", "private", "--fresh", "never"])
            .args(["--retry-empty", "always"])
            .arg(format!("--store=file://{}", store.display()))
            .arg("--state")
            .arg(self.folder.join("state"))
            .args(["--", "sh", "-c", JOB])
            .arg(self.plan.folder.join("context"));
        command
    }

    pub(crate) fn forge(&self) -> Command {
        Command::new(self.plan.forge)
    }

    /// The job of a store that nobody has touched.
    fn honest_job(&self, store: &Path, scope: &str) -> Result<()> {
        let mut job = self.job(store);
        job.env("LARDER_SCOPE", scope);
        let ran = self.run(job)?;
        ensure!(ran.code == Some(0), "an honest job failed: {}", ran.said);
        Ok(())
    }

    /// A copy of the honest store.
    pub(crate) fn store(&mut self) -> Result<PathBuf> {
        let honest = if let Some(honest) = &self.honest {
            honest.clone()
        } else {
            let honest = self.plan.folder.join("honest");
            for scope in ["branch/main", "branch/main", "pull/7"] {
                self.honest_job(&honest, scope)?;
            }
            self.honest = Some(honest.clone());
            honest
        };
        let copy = self.folder.join("store");
        process::run(Command::new("cp").arg("-a").arg(&honest).arg(&copy))?;
        Ok(copy)
    }

    pub(crate) fn run(&self, mut command: Command) -> Result<Ran> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        let line = line.join(" ");
        let file = self.folder.join("said");
        let said = File::create(&file)?;
        command.stdin(Stdio::null());
        let mut child = command
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let began = Instant::now();
        let mut status = None;
        while status.is_none() && began.elapsed() < LIMIT {
            status = child.try_wait()?;
            sleep(PAUSE);
        }
        if status.is_none() {
            child.kill()?;
            child.wait()?;
        }
        let said = fs::read(&file)?;
        Ok(Ran {
            line,
            code: status.map(|status| {
                let signal = status.signal().unwrap_or_default();
                status.code().unwrap_or(128 + signal)
            }),
            said: String::from_utf8_lossy(&said).into_owned(),
            took: began.elapsed(),
        })
    }
}

impl Ran {
    /// The end of what it said, as much as is shown.
    pub(crate) fn last_words(&self) -> &str {
        let from = self.said.char_indices().rev().nth(SHOWN_CHARS - 1);
        &self.said[from.map_or(0, |(at, _)| at)..]
    }

    /// What no command may do, whatever it was given.
    pub(crate) fn faults(&self, codes: &[i32]) -> Vec<String> {
        let mut faults = Vec::new();
        match self.code {
            None => faults.push("it hangs".to_owned()),
            Some(code) if !codes.contains(&code) => faults.push(format!("exit code {code}")),
            Some(_) => {}
        }
        if self.said.contains("panicked at") {
            faults.push("it panicked".to_owned());
        }
        if Victims::is_told(&self.said) {
            faults.push("it told a secret of the machine".to_owned());
        }
        let odd = |c: char| c.is_control() && c != '\n' && c != '\t' && c != '\r';
        if self.said.contains(odd) {
            faults.push("it printed control characters".to_owned());
        }
        let obeyed = |line: &str| line.starts_with("::") || line.contains("##vso[");
        if self.said.lines().any(obeyed) {
            faults.push("it printed a command for a CI system".to_owned());
        }
        faults
    }
}

/// One of these.
pub(crate) fn one<'a, T>(random: &mut Random, of: &'a [T]) -> &'a T {
    random.one_of(of).expect("there are some")
}

/// Whether something happens that happens so often of a hundred.
pub(crate) fn chance(random: &mut Random, percent: u64) -> bool {
    random.below(100) < percent
}

/// Text that terminals and CI systems obey, and that shells and paths take apart.
pub(crate) const EVIL: [&str; 12] = [
    "\u{1b}[31mred\u{1b}]0;title\u{7}",
    "x\n::error file=a::owned",
    "::set-output name=a::b",
    "##vso[task.setvariable variable=a]b",
    "../../../../etc/shadow",
    "$(touch owned)`touch owned`;touch owned",
    "%s%n%x",
    "\u{202e}desrever",
    "'\"\\ \t",
    "-rf",
    "--output=/",
    "a\rb",
];
