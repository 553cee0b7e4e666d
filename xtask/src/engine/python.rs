//! Programs of the tests that are written in Python, each in an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{process, say};

/// A program and its package.
pub(super) struct Python {
    name: &'static str,
    /// With what of it is optional.
    package: &'static str,
    version: &'static str,
    program: &'static str,
    what: &'static str,
}

pub(super) const MOTO: Python = Python {
    name: "moto",
    package: "moto[server]",
    version: "5.2.5",
    program: "moto_server",
    what: "S3 server",
};

/// It carries the schemas that CI systems' vendors publish.
pub(super) const SCHEMAS: Python = Python {
    name: "check-jsonschema",
    package: "check-jsonschema",
    version: "0.39.0",
    program: "check-jsonschema",
    what: "schemas of CI systems",
};

impl Python {
    /// The program, whether it is there or not.
    pub(super) fn program(&self, cache: &Path) -> PathBuf {
        self.folder(cache).join("bin").join(self.program)
    }

    /// Installs it where it is missing.
    pub(super) fn ready(&self, cache: &Path) -> Result<PathBuf> {
        let program = self.program(cache);
        if !program.exists() {
            let Self { name, version, .. } = self;
            say::timed(
                &format!("installed {name} {version} ({})", self.what),
                || self.install(&self.folder(cache)),
            )?;
        }
        Ok(program)
    }

    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}-{}", self.name, self.version))
    }

    /// A Python environment cannot be renamed into place (its scripts hold its path), so a half-made
    /// one is removed first; the program is the last thing that pip writes.
    fn install(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        process::run(
            Command::new("/usr/bin/python3")
                .args(["-m", "venv"])
                .arg(folder),
        )?;
        let package = format!("{}=={}", self.package, self.version);
        process::run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", &package]))
    }
}
