//! Docker 20.10.24, of Debian 12, beside the machine's own engine: unpacked into the cache folder, not
//! installed. It is the newest engine whose classic builder trusts loaded images, and what CI systems
//! still offer as their oldest.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::distribution::Distribution;
use crate::{process, say};

const SUITE: &str = "bookworm";
/// The engine with the parts that it was released with; libdevmapper is what other distributions may
/// not have.
const PACKAGES: [&str; 4] = ["docker.io", "containerd", "runc", "libdevmapper1.02.1"];
const VERSION: &str = "20.10.24";

/// Where it is unpacked, whether it is there or not: `usr/sbin/dockerd` and so on below.
pub(super) fn folder(cache: &Path) -> PathBuf {
    cache.join(format!("docker-{VERSION}"))
}

/// Unpacks it where it is missing.
pub(super) fn ready(distribution: &Distribution, cache: &Path) -> Result<PathBuf> {
    let folder = folder(cache);
    if !folder.exists() {
        say::timed(&format!("unpacked Docker {VERSION} of Debian 12"), || {
            unpack(distribution, cache, &folder)
        })?;
    }
    Ok(folder)
}

fn unpack(distribution: &Distribution, cache: &Path, folder: &Path) -> Result<()> {
    let work = tempfile::tempdir_in(cache)?;
    let root = super::apt::unpack(distribution, SUITE, &PACKAGES, work.path())?;
    let said = process::read(
        Command::new(root.join("usr/sbin/dockerd"))
            .arg("--version")
            .env("LD_LIBRARY_PATH", libraries(&root)?),
    )?;
    ensure!(
        said.contains(VERSION),
        "expected Docker {VERSION}, got {said}"
    );
    fs::rename(&root, folder).with_context(|| format!("cannot write {}", folder.display()))
}

/// Where its own libraries are, as `LD_LIBRARY_PATH` takes it.
fn libraries(root: &Path) -> Result<OsString> {
    let folders = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|name| root.join("lib").join(name));
    std::env::join_paths(folders).context("the cache folder's path holds a colon")
}
