//! The program podman of this machine, and what it answers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use larder_engine::EngineError;
use larder_engine::program::version_of;
use larder_local::child::{Limits, NoAnswer, ask};
use larder_local::programs;
use larder_model::compatibility::{Compatibility, Family};
use larder_model::version::Version;
use serde::Deserialize;

use crate::Result;
use crate::person::Person;
use crate::storage::{DRIVER, DRIVER_OF_USER, OF_ANOTHER_STORAGE, Storage, VARIABLE};

/// What podman prints at most: a listing of some thousand images.
const OUTPUT_MAX_BYTES: usize = 64 << 20;
/// Time for what podman says of itself. A far store adds some fetches.
const INFO_LIMIT: Duration = Duration::from_secs(120);

/// The program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodmanProgram {
    path: PathBuf,
    /// Its version.
    pub version: Version,
}

/// Finds podman in `search`, else in the usual directories.
pub fn probe(search: &[PathBuf]) -> Result<PodmanProgram> {
    let program = "podman";
    let path = programs::find(program, search).ok_or(EngineError::ProgramMissing {
        program,
        package: program,
    })?;
    let version = version_of(&path)?;
    Ok(PodmanProgram { path, version })
}

impl PodmanProgram {
    /// What must be equal for this machine's podman to continue another's storage. A user's podman marks what an upper
    /// layer hides in another way than root's (Linux `Documentation/filesystems/overlayfs.rst`, `userxattr`).
    pub fn compatibility(&self, storage: &Storage) -> String {
        let key = Compatibility {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            image_store: match storage.person() {
                Some(_) => DRIVER_OF_USER,
                None => DRIVER,
            },
            family: Family::Podman,
            version: self.version,
        };
        key.to_string()
    }
}

/// What is there once a podman has run since the machine was started, and the directory of the machine's own database.
const AWAKE: &str = "/run/libpod/alive";
const OF_MACHINE: &str = "/var/lib/containers/storage/libpod";

/// Containers that run.
const RUNNING: [&str; 2] = ["ps", "--quiet"];

/// What podman says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its version, in full.
    pub version: String,
    /// The driver of its storage.
    pub driver: String,
}

/// `podman info --format json`, as far as it is read.
#[derive(Deserialize)]
struct Said {
    store: Store,
    version: Versions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    graph_driver_name: String,
    graph_root: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    version: String,
}

/// A podman to be run: which, in what environment, and by whom.
#[derive(Clone, Debug)]
struct Runner {
    program: PathBuf,
    environment: Vec<(OsString, OsString)>,
    /// Root, if it is nobody else.
    person: Option<Person>,
}

/// Podman with a session's storage.
#[derive(Clone, Debug)]
pub struct Podman {
    runner: Runner,
    pub(crate) storage: Storage,
}

impl Podman {
    /// The program with this storage. Root's is in an environment that may name another one.
    pub fn new(
        program: &PodmanProgram,
        storage: &Storage,
        environment: &[(OsString, OsString)],
    ) -> Self {
        let mut runner = Runner::new(program, storage, environment);
        let file = Storage::file(storage.run());
        runner.environment.push((VARIABLE.into(), file.into()));
        Self {
            runner,
            storage: storage.clone(),
        }
    }

    /// Lets the own podman of who has the storage run first, if it has anything and none has run since the machine was
    /// started: the first one frees all locks, which it shares with others, and gives them to the containers of its own
    /// database (podman `libpod/runtime.go`, `refresh`).
    pub fn wake(program: &PodmanProgram, storage: &Storage, environment: &[(OsString, OsString)]) {
        let own = Runner::new(program, storage, environment);
        let (awake, database) = match storage.person() {
            Some(person) if person.keeps_namespaces() => return own.leave_namespaces(),
            Some(person) => (person.awake(), person.database()),
            None => (AWAKE.into(), OF_MACHINE.into()),
        };
        if awake.exists() || !database.exists() {
            return;
        }
        if let Err(error) = own.run(&RUNNING, INFO_LIMIT) {
            tracing::warn!(%error, "the machine's own podman does not work");
        }
    }

    /// What it says of itself, and whether it takes the storage that it is told.
    pub fn info(&self) -> Result<Info> {
        let text = self.ask(&["info", "--format", "json"], INFO_LIMIT)?;
        let said: Said = self.parsed("what podman says of itself", &text)?;
        let Store {
            graph_driver_name: driver,
            graph_root,
        } = said.store;
        if driver != DRIVER || graph_root != self.storage.graph_root() {
            let message = format!(
                "it uses {} with the driver {driver}; is another storage named in containers.conf?",
                graph_root.display()
            );
            return Err(self.malformed("podman's storage", message));
        }
        Ok(Info {
            version: said.version.version,
            driver,
        })
    }

    /// Runs podman to its end; what it prints.
    pub(crate) fn ask(&self, arguments: &[&str], time: Duration) -> Result<String> {
        self.runner.run(arguments, time)
    }

    /// Reads what podman prints, or what it keeps.
    pub(crate) fn parsed<'a, T: Deserialize<'a>>(
        &self,
        what: &'static str,
        text: &'a str,
    ) -> Result<T> {
        serde_json::from_str(text).map_err(|error| self.malformed(what, error.to_string()))
    }

    pub(crate) fn malformed(&self, what: &'static str, message: String) -> EngineError {
        EngineError::Malformed {
            what,
            path: self.runner.program.clone(),
            message,
        }
    }
}

impl Runner {
    /// One that finds the storage that it would find without Larder.
    fn new(
        program: &PodmanProgram,
        storage: &Storage,
        environment: &[(OsString, OsString)],
    ) -> Self {
        let leads_elsewhere = |name: &OsString| {
            name == VARIABLE || OF_ANOTHER_STORAGE.iter().any(|other| name == other)
        };
        let mut own = environment
            .iter()
            .filter(|(name, _)| !leads_elsewhere(name));
        Self {
            program: program.path.clone(),
            environment: match storage.person() {
                Some(person) => {
                    let path = own.find(|(name, _)| name == "PATH");
                    person.environment(path.map(|(_, path)| path.clone()).unwrap_or_default())
                }
                None => own.cloned().collect(),
            },
            person: storage.person().cloned(),
        }
    }

    /// Lets go of the namespaces that a user's podman has kept since an earlier command, if no container is in them: in
    /// those of before the storage is not mounted, where the machine's mounts are not shared (podman-system-migrate(1)).
    fn leave_namespaces(&self) {
        let running = self.run(&RUNNING, INFO_LIMIT);
        let left = running.and_then(|running| {
            if running.trim().is_empty() {
                self.run(&["system", "migrate"], INFO_LIMIT)
            } else {
                Ok(running)
            }
        });
        if let Err(error) = left {
            tracing::warn!(%error, "the user's own podman does not work");
        }
    }

    fn run(&self, arguments: &[&str], time: Duration) -> Result<String> {
        let mut command = Command::new(&self.program);
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.args(arguments).env_clear().envs(environment);
        if let Some(person) = &self.person {
            person.runs(&mut command);
        }
        let limits = Limits {
            time,
            bytes: OUTPUT_MAX_BYTES,
        };
        let output = ask(&mut command, "", limits).map_err(|why| match why {
            NoAnswer::Io(error) => EngineError::io("cannot run", &self.program)(error),
            why => EngineError::ToolHangs {
                command: line(arguments),
                why: why.to_string(),
            },
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(EngineError::ToolFailed {
            command: line(arguments),
            status: output.status.to_string(),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

fn line(arguments: &[&str]) -> String {
    [&["podman"], arguments].concat().join(" ")
}
