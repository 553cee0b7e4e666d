//! Programs of the tests that are written in Python, each in an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{process, say};

/// A program and the packages that bring it, each in one version.
pub struct Python {
    /// Its folder's; another one if a package or a version is.
    name: &'static str,
    packages: &'static [&'static str],
    program: &'static str,
    what: &'static str,
}

/// An S3 server.
pub const MOTO: Python = Python {
    name: "moto-5.2.5",
    packages: &["moto[server]==5.2.5"],
    program: "moto_server",
    what: "S3 server",
};

/// The first carries the schemas that CI systems' vendors publish, the second those of bills of materials.
pub const SCHEMAS: Python = Python {
    name: "check-jsonschema-0.39.0-cyclonedx-11.12.0",
    packages: &["check-jsonschema==0.39.0", "cyclonedx-python-lib==11.12.0"],
    program: "check-jsonschema",
    what: "schemas",
};

impl Python {
    /// The program, whether it is there or not.
    pub fn program(&self, cache: &Path) -> PathBuf {
        self.folder(cache).join("bin").join(self.program)
    }

    /// Installs it where it is missing.
    pub fn ready(&self, cache: &Path) -> Result<PathBuf> {
        let program = self.program(cache);
        if !program.exists() {
            say::timed(
                &format!("installed {} ({})", self.packages.join(", "), self.what),
                || self.install(&self.folder(cache)),
            )?;
        }
        Ok(program)
    }

    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(self.name)
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
        let mut pip = Command::new(folder.join("bin/pip"));
        process::run(pip.args(["install", "--quiet"]).args(self.packages))
    }
}
