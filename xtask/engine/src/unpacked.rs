//! Engines of Debian beside the machine's own: unpacked into the cache folder, not installed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::distribution::Distribution;
use xtask_tools::{process, say};

/// An engine with the parts that it was released with.
pub(super) struct Unpacked {
    /// The folder's name in the cache.
    name: &'static str,
    suite: &'static str,
    packages: &'static [&'static str],
    /// How dockerd's version begins.
    version: &'static str,
}

/// The newest engine whose classic builder trusts loaded images, and what CI systems still offer as their
/// oldest. libdevmapper is what other distributions may not have.
pub(super) const OLDER: Unpacked = Unpacked {
    name: "docker-20.10.24",
    suite: "bookworm",
    packages: &["docker.io", "containerd", "runc", "libdevmapper1.02.1"],
    version: "20.10.24",
};

/// What Debian will release next: its engine, its docker command, and the C library that they need. The whole
/// is laid over the machine's `/usr` where it is used.
pub(super) const NEWER: Unpacked = Unpacked {
    name: "docker-28",
    suite: "forky",
    packages: &[
        "docker.io",
        "docker-cli",
        "docker-buildx",
        "docker-compose",
        "containerd",
        "runc",
        "libc6",
        "libseccomp2",
        "libsystemd0",
    ],
    version: "28.",
};

impl Unpacked {
    /// Where it is, whether it is there or not: `usr/sbin/dockerd` and so on below.
    pub(super) fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(self.name)
    }

    /// Unpacks it where it is missing.
    pub(super) fn ready(&self, distribution: &Distribution, cache: &Path) -> Result<PathBuf> {
        let folder = self.folder(cache);
        if !folder.exists() {
            let what = format!("unpacked Docker of Debian {}", self.suite);
            say::timed(&what, || self.unpack(distribution, cache, &folder))?;
        }
        Ok(folder)
    }

    fn unpack(&self, distribution: &Distribution, cache: &Path, folder: &Path) -> Result<()> {
        let work = tempfile::tempdir_in(cache)?;
        let root = super::apt::unpack(distribution, self.suite, self.packages, work.path())?;
        let said = process::read(dockerd(&root)?.arg("--version"))?;
        ensure!(
            said.contains(&format!(" {}", self.version)),
            "expected Docker {}, got {said}",
            self.version
        );
        fs::rename(&root, folder).with_context(|| format!("cannot write {}", folder.display()))
    }
}

/// The root's dockerd, by its own C library if there is one.
fn dockerd(root: &Path) -> Result<Command> {
    let program = root.join("usr/sbin/dockerd");
    let loaders = ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"];
    let mut loaders = loaders.into_iter().map(|name| root.join("usr").join(name));
    let Some(loader) = loaders.find(|path| path.exists()) else {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", libraries(root)?);
        return Ok(command);
    };
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(libraries(root)?);
    command.arg(program);
    Ok(command)
}

/// Where its own libraries are, as `LD_LIBRARY_PATH` takes it.
fn libraries(root: &Path) -> Result<OsString> {
    let machines = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
    let folders = machines
        .iter()
        .flat_map(|name| ["lib", "usr/lib"].map(|lib| root.join(lib).join(name)));
    std::env::join_paths(folders).context("the cache folder's path holds a colon")
}
