//! What the tests share: fresh machines, a store, and running the program.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use larder_docker::ImageStore;
use serde_json::Value;

use crate::application::Work;
use crate::engines::{Plain, Version};

/// A fresh machine: an engine, and a state of its own.
pub(crate) struct Site<'a> {
    pub engine: Plain,
    work: &'a Work,
    state: PathBuf,
}

/// What the program said and reported.
#[derive(Debug)]
pub(crate) struct Said {
    pub code: i32,
    pub out: String,
    pub error: String,
    pub report: Value,
}

impl Work {
    /// The store that all machines share.
    fn store(&self) -> PathBuf {
        self.machine.path("store")
    }

    /// A fresh machine that has pulled the base image.
    pub(crate) fn site(&self, name: &str, version: Version, store: ImageStore) -> Site<'_> {
        let engine = self.engine(name, version, store);
        let state = self.machine.path(&format!("{name}.state"));
        Site {
            engine,
            work: self,
            state,
        }
    }

    /// All objects of the store in a folder of this name.
    pub(crate) fn objects(&self, kind: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.store().join("v1").join(kind)];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(folder).into_iter().flatten();
            for entry in entries {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

impl Site<'_> {
    /// The program, with an environment of its own.
    pub(crate) fn larder(&self, verb: &str) -> Command {
        // The environment of docker commands of the engine's version.
        let docker = self.engine.docker(&[]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        command.env_clear().current_dir(&self.work.context);
        for (name, value) in docker.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
            .env("HOME", &self.state)
            .env("LARDER_STATE", &self.state)
            .env("LARDER_STORE", self.work.store())
            .env("LARDER_PROJECT", "shop")
            .env("LARDER_SCOPE", "main")
            .env("LARDER_FRESH", "never")
            .env("LARDER_GC", "off")
            .arg(verb);
        command
    }

    pub(crate) fn run(&self, mut command: Command) -> Said {
        self.said(&command.output().expect("larder starts"))
    }

    /// In the machine's network instead of this process's.
    pub(crate) fn run_in_network(&self, mut command: Command) -> Said {
        let output = self.work.machine.host.run(move || command.output());
        self.said(&output.expect("larder starts"))
    }

    fn said(&self, output: &Output) -> Said {
        let report = fs::read(self.report()).unwrap_or_default();
        // One report is for one run.
        let _ = fs::remove_file(self.report());
        Said {
            code: output.status.code().expect("it ended by itself"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
            report: serde_json::from_slice(&report).unwrap_or_default(),
        }
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.work.machine.path("report.json")
    }

    /// `larder build -t app` by one builder.
    pub(crate) fn build_command(&self, buildkit: bool, own: &[&str], dockers: &[&str]) -> Command {
        let mut command = self.larder("build");
        command
            .env("DOCKER_BUILDKIT", if buildkit { "1" } else { "0" })
            .arg("--json")
            .arg(self.report())
            .args(own)
            .args(["--network=none", "-t", "app"])
            .args(dockers)
            .arg(&self.work.context);
        command
    }

    /// The same, with what was saved, even where so small a build is faster without.
    pub(crate) fn build(&self, buildkit: bool) -> Said {
        let command = self.build_command(buildkit, &["--always"], &[]);
        self.run(command).done()
    }
}

impl Said {
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.error);
        self
    }

    #[track_caller]
    pub(crate) fn cached(&self) -> u64 {
        let cached = self.report["cached_steps"].as_u64();
        cached.unwrap_or_else(|| panic!("no report: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(
            self.error.contains(text),
            "{text:?} is not in {}",
            self.error
        );
        self
    }
}
