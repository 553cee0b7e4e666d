//! The program under test: how it is built, and how a job runs under it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Job;
use super::report::Report;
use crate::engine::{self, Machine};
use crate::workplace::{self, Workplace};
use crate::{cargo, process, say};

/// Which larder is meant.
#[derive(clap::Args)]
pub(crate) struct Which {
    /// Use this program instead of building this tree's (to compare versions)
    #[arg(long = "larder", value_name = "PROGRAM")]
    program: Option<PathBuf>,
}

/// Builds larder as users get it, unless another one is named, and returns the path of a copy in
/// `folder`: a later build must not change what is being measured.
pub(crate) fn ready(which: &Which, folder: &Path) -> Result<PathBuf> {
    let program = match &which.program {
        Some(program) => program.clone(),
        None => say::timed("built larder", cargo_build)?,
    };
    let copy = folder.join("larder");
    fs::copy(&program, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}

/// This machine, made ready; a working folder; and the program that is ready in it.
pub(crate) fn place(which: &Which, keep: bool) -> Result<(Machine, Workplace, PathBuf)> {
    let machine = engine::ready()?;
    let folder = workplace::create(&machine, keep)?;
    let program = ready(which, folder.path())?;
    Ok((machine, folder, program))
}

fn cargo_build() -> Result<PathBuf> {
    executable("larder", &["--release", "--bin", "larder"])
}

/// An example of a package: of the same build as the program that was named, if it is there, else built now.
pub(crate) fn example(which: &Which, package: &str, name: &str) -> Result<PathBuf> {
    let folder = which.program.as_deref().and_then(Path::parent);
    let built = folder.map(|folder| folder.join("examples").join(name));
    match built.filter(|built| built.exists()) {
        Some(built) => Ok(built),
        None => executable(name, &["-p", package, "--example", name]),
    }
}

/// Builds a program, and says where it is.
pub(crate) fn executable(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let mut build = cargo::command("build");
    let messages = process::read(build.args(arguments).arg("--message-format=json"))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no program named {name}"))
}

/// Where snapshots are kept, and how the program gets there.
pub(crate) struct Store {
    /// As it is given to `--store`.
    pub url: String,
    /// What its cloud's client reads in the environment.
    pub environment: Vec<(&'static str, String)>,
}

impl Store {
    /// A folder of this machine.
    pub(crate) fn folder(path: &Path) -> Self {
        Self {
            url: format!("file://{}", path.display()),
            environment: Vec::new(),
        }
    }
}

/// Where a job keeps what, and under which name.
pub(crate) struct Session<'a> {
    /// The program.
    pub program: &'a Path,
    /// The store.
    pub store: &'a Store,
    /// What a branch is to CI.
    pub scope: &'a str,
}

impl Session<'_> {
    /// Builds on a machine that has never seen Larder: its state folder is new.
    pub(crate) fn run(&self, job: &Job) -> Result<Report> {
        self.run_shell(&job.folder, |shell| job.append_to(shell))
            .with_context(|| job.log_tail())
    }

    /// Runs a shell, whose arguments `arguments` adds, with a state folder in `folder`.
    pub(crate) fn run_shell(
        &self,
        folder: &Path,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<Report> {
        process::run(&mut self.shell(folder, arguments))?;
        Report::read(&folder.join("report.json"))
    }

    /// The command that runs such a shell; its report is `report.json` in `folder`.
    pub(crate) fn shell(&self, folder: &Path, arguments: impl FnOnce(&mut Command)) -> Command {
        let mut command = Command::new(self.program);
        command
            .arg("run")
            .arg("--store")
            .arg(&self.store.url)
            .arg("--state")
            .arg(folder.join("state"))
            .args(["--project", "shop", "--job", "image"])
            .args(["--scope", self.scope, "--fallback", "main"])
            .arg("--json")
            .arg(folder.join("report.json"))
            .args(["--", "sh"])
            .envs(self.store.environment.iter().cloned())
            .current_dir(folder);
        arguments(&mut command);
        command
    }
}
