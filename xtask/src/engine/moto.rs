//! The S3 server of the tests: moto, in a Python environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{process, say};

const VERSION: &str = "5.2.5";

/// The server program, whether it is there or not.
pub(super) fn program(cache: &Path) -> PathBuf {
    folder(cache).join("bin/moto_server")
}

/// Installs the server where it is missing.
pub(super) fn ready(cache: &Path) -> Result<PathBuf> {
    let program = program(cache);
    if !program.exists() {
        say::timed(&format!("installed moto {VERSION} (S3 server)"), || {
            install(&folder(cache))
        })?;
    }
    Ok(program)
}

fn folder(cache: &Path) -> PathBuf {
    cache.join(format!("moto-{VERSION}"))
}

/// A Python environment cannot be renamed into place (its scripts hold its path), so a half-made
/// one is removed first; the server program is the last thing that pip writes.
fn install(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    process::run(
        Command::new("/usr/bin/python3")
            .args(["-m", "venv"])
            .arg(folder),
    )?;
    process::run(Command::new(folder.join("bin/pip")).args([
        "install",
        "--quiet",
        &format!("moto[server]=={VERSION}"),
    ]))
}
