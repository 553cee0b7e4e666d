//! Programs of the benchmarks that are written in Rust: built from their sources, each once.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{cargo, process, say};

/// A crate in one version, and what of it is used.
pub struct Compiled {
    name: &'static str,
    version: &'static str,
    features: &'static str,
}

/// Three minutes on two cores: only benchmarks need it, so the tests' set-up does not build it.
pub const S3S_FS: Compiled = Compiled {
    name: "s3s-fs",
    version: "0.14.1",
    features: "binary",
};

impl Compiled {
    /// The program, built where it is missing.
    pub fn ready(&self, cache: &Path) -> Result<PathBuf> {
        let folder = cache.join(format!("{}-{}", self.name, self.version));
        let program = folder.join("bin").join(self.name);
        if !program.exists() {
            let what = format!("built {} {}", self.name, self.version);
            say::timed(&what, || self.build(&folder))?;
        }
        Ok(program)
    }

    /// What it is built in is no longer needed then. Cargo moves the program to its place when it is whole.
    fn build(&self, folder: &Path) -> Result<()> {
        let work = tempfile::Builder::new().tempdir_in(folder.parent().unwrap_or(folder))?;
        let mut install = cargo::command("install");
        install
            .args(["--locked", "--quiet", self.name])
            .args(["--version", self.version, "--features", self.features])
            .arg("--root")
            .arg(folder)
            .env("CARGO_TARGET_DIR", work.path());
        process::run(&mut install)
    }
}
