//! What is run against an engine, and what it costs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::bench::measure::seconds;
use crate::dockerd::Dockerd;
use crate::job::application::{Application, BASE, IMAGE};
use crate::process;

/// The stages of the example that others are made from; each is saved, because builds on a fresh
/// engine find their steps in images of all stages.
const STAGES: [&str; 4] = ["tools", "dependencies", "build", "production"];

/// What something cost.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Cost {
    pub seconds: f64,
    /// Bytes that were stored, or fetched.
    pub bytes: u64,
    /// The most memory that it had at once, of what was measured.
    pub peak_bytes: Option<u64>,
}

/// The name of a stage's image.
pub(super) fn stage(name: &str) -> String {
    format!("{IMAGE}:{name}")
}

/// The names of all images that are saved.
pub(super) fn images() -> Vec<String> {
    let stages = STAGES.iter().map(|name| stage(name));
    stages.chain([stage("latest")]).collect()
}

/// What `docker save | gzip` writes.
pub(super) fn archive(folder: &Path) -> PathBuf {
    folder.join("images.tar.gz")
}

/// Unpacks an archive beside it.
pub(super) fn unzip(archive: &Path, tar: &Path) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", "gunzip --stdout \"$1\" > \"$2\"", "sh"]);
    process::run(command.arg(archive).arg(tar))
}

/// An engine, and the docker command for it.
pub(super) struct Engine {
    host: String,
    /// Where things of this machine are kept.
    pub folder: PathBuf,
}

impl Engine {
    /// Of this running engine.
    pub(super) fn new(running: &Dockerd, folder: &Path) -> Self {
        Self {
            host: running.host(),
            folder: folder.to_owned(),
        }
    }

    /// Imports the base image, which stands for its pull.
    pub(super) fn import(&self, base_tar: &Path) -> Result<()> {
        process::run(self.docker().arg("import").arg(base_tar).arg(BASE))
    }

    /// Builds the image of each stage, and the application's.
    pub(super) fn build(&self, application: &Application) -> Result<()> {
        for name in STAGES {
            self.build_stage(application, name, &stage(name))?;
        }
        let mut docker = self.docker();
        docker.args(["build", "--tag", &stage("latest")]);
        process::run(docker.arg(application.folder()))
    }

    /// Builds up to a stage.
    pub(super) fn build_stage(
        &self,
        application: &Application,
        name: &str,
        tag: &str,
    ) -> Result<()> {
        let mut docker = self.docker();
        docker.args(["build", "--target", name, "--tag", tag]);
        process::run(docker.arg(application.folder()))
    }

    /// The ids of all images.
    pub(super) fn ids(&self) -> Result<String> {
        let mut docker = self.docker();
        docker.args(["image", "inspect", "--format", "{{.Id}}"]);
        process::read(docker.args(images()))
    }

    /// `docker save` of an image, unpacked.
    pub(super) fn unpack(&self, image: &str, folder: &Path) -> Result<()> {
        let script = "docker save \"$1\" | tar --extract --directory \"$2\"";
        self.shell(script, &[image, path(folder)?]).map(drop)
    }

    /// `docker save` through gzip, as recipes have it.
    pub(super) fn save_gz(&self, images: &[&str]) -> Result<Cost> {
        let archive = archive(&self.folder);
        let script = "archive=$1; shift; docker save \"$@\" | gzip > \"$archive\"";
        let arguments: Vec<&str> = [path(&archive)?]
            .into_iter()
            .chain(images.iter().copied())
            .collect();
        let seconds = self.shell(script, &arguments)?;
        let bytes = fs::metadata(&archive)
            .with_context(|| format!("no {}", archive.display()))?
            .len();
        Ok(Cost {
            seconds,
            bytes,
            peak_bytes: None,
        })
    }

    /// `docker save` to nowhere.
    pub(super) fn export(&self, images: &[&str]) -> Result<f64> {
        self.shell("docker save \"$@\" > /dev/null", images)
    }

    /// `docker load` through gunzip.
    pub(super) fn load_gz(&self, archive: &Path) -> Result<f64> {
        let script = "gunzip --stdout \"$1\" | docker load";
        self.shell(script, &[path(archive)?])
    }

    /// `docker load` of a tar.
    pub(super) fn load(&self, tar: &Path) -> Result<f64> {
        self.shell("docker load < \"$1\"", &[path(tar)?])
    }

    fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        self.surround(&mut docker);
        docker
    }

    /// How long a script takes, none of whose commands may fail.
    fn shell(&self, script: &str, arguments: &[&str]) -> Result<f64> {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script, "bash"]);
        self.surround(bash.args(arguments));
        seconds(&mut bash)
    }

    /// Each step of the classic builder is an image, so that `docker save` has what Larder has.
    fn surround(&self, command: &mut Command) {
        command
            .env("DOCKER_HOST", &self.host)
            .env("DOCKER_CONFIG", self.folder.join("docker-config"))
            .env("DOCKER_BUILDKIT", "0");
    }
}

/// Larder, with a store.
pub(super) struct Larder<'a> {
    /// The program.
    pub program: &'a Path,
    /// The store's folder.
    pub store: PathBuf,
    /// The engine that it speaks to.
    pub engine: &'a Engine,
}

impl Larder<'_> {
    /// `larder save` of these images.
    pub(super) fn save(&self, images: &[&str]) -> Result<Cost> {
        let (cost, report) = self.run("save", images)?;
        ensure!(
            report["archive"].is_string(),
            "larder saved nothing: {report}"
        );
        with_bytes(cost, &report["statistics"]["stored_bytes"])
    }

    /// `larder restore`, whatever earlier jobs measured.
    pub(super) fn restore(&self) -> Result<Cost> {
        let (cost, report) = self.run("restore", &["--always"])?;
        ensure!(
            report["images"].as_u64().is_some_and(|count| count > 0),
            "larder restored nothing: {report}"
        );
        with_bytes(cost, &report["fetched_bytes"])
    }

    fn run(&self, verb: &str, arguments: &[&str]) -> Result<(Cost, Value)> {
        let folder = &self.engine.folder;
        let (peak, json) = (folder.join("peak"), folder.join(format!("{verb}.json")));
        let time = process::which("time").context("no time; run `cargo xtask engine`")?;
        let mut command = Command::new(time);
        command
            .args(["--format", "%M", "--output"])
            .arg(&peak)
            .arg(self.program)
            .args([
                verb,
                "--strict",
                "--project",
                "pantry-shop",
                "--job",
                "image",
            ])
            .args(["--scope", "main", "--store"])
            .arg(&self.store)
            .arg("--state")
            .arg(folder.join("state"))
            .arg("--json")
            .arg(&json)
            .args(arguments)
            .current_dir(folder);
        self.engine.surround(&mut command);
        let seconds = seconds(&mut command)?;
        // GNU time(1): the maximum resident set size in kilobytes.
        let text = fs::read_to_string(&peak).context("time wrote nothing")?;
        let kilobytes: u64 = text.trim().parse().context("time wrote no number")?;
        let text = fs::read(&json).with_context(|| format!("no {}", json.display()))?;
        let cost = Cost {
            seconds,
            bytes: 0,
            peak_bytes: Some(kilobytes * 1024),
        };
        Ok((cost, serde_json::from_slice(&text)?))
    }
}

fn with_bytes(cost: Cost, bytes: &Value) -> Result<Cost> {
    let bytes = bytes
        .as_u64()
        .context("the report lacks a number of bytes")?;
    Ok(Cost { bytes, ..cost })
}

fn path(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}
