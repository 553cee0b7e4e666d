//! The demo's base image: a minimal Debian 12 made from packages, so that nothing depends on a
//! public image registry. It trusts the certificate authorities that this machine trusts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::distribution::Distribution;
use xtask_tools::{process, say};

/// One suite on every machine, so that the benchmark builds the same image everywhere.
const SUITE: &str = "bookworm";
/// One that has no updates yet.
const UNRELEASED: &str = "forky";
/// One whose security updates have left the mirrors.
const ENDED: &str = "bullseye";
/// What signs Debian's package lists.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// A change of the steps in `make` needs a new number: it is part of the file's name.
const RECIPE: u32 = 1;

/// Where the image is kept: the name says what it is made of.
pub(super) fn tar_path(distribution: &Distribution, cache: &Path) -> Result<PathBuf> {
    let authorities = fs::read(AUTHORITIES)
        .with_context(|| format!("cannot read {AUTHORITIES}; install ca-certificates"))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&RECIPE.to_le_bytes());
    hasher.update(apt_sources(distribution, SUITE)?.as_bytes());
    hasher.update(&authorities);
    let key = hasher.finalize().to_hex();
    Ok(cache.join(format!("base-{SUITE}-{}.tar", &key[..16])))
}

/// Makes the image where it is missing.
pub(super) fn ready(distribution: &Distribution, cache: &Path) -> Result<PathBuf> {
    let path = tar_path(distribution, cache)?;
    if !path.exists() {
        say::timed(&format!("made {}", path.display()), || {
            make(distribution, cache, &path)
        })?;
    }
    Ok(path)
}

/// The package sources of a Debian suite as `sources.list` lines. Security updates are among them where
/// this machine says where they come from.
pub(super) fn apt_sources(distribution: &Distribution, suite: &str) -> Result<String> {
    let mirror = distribution.mirror()?;
    let mut text = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
    if [UNRELEASED, ENDED].contains(&suite) {
        return Ok(text);
    }
    let updates = format!("deb [signed-by={KEYRING}] {mirror} {suite}-updates main\n");
    text.push_str(&updates);
    if let Some(security) = &distribution.security_mirror {
        let line = format!("deb [signed-by={KEYRING}] {security} {suite}-security main\n");
        text.push_str(&line);
    }
    Ok(text)
}

fn make(distribution: &Distribution, cache: &Path, path: &Path) -> Result<()> {
    let work = tempfile::tempdir_in(cache)?;
    let root = work.path().join("root");
    process::run(
        Command::new("debootstrap")
            .args(["--variant=minbase", "--include=ca-certificates"])
            .arg(format!("--keyring={KEYRING}"))
            .arg(SUITE)
            .arg(&root)
            .arg(distribution.mirror()?),
    )?;
    trust_authorities(&root)?;
    fs::write(
        root.join("etc/apt/sources.list"),
        apt_sources(distribution, SUITE)?,
    )?;
    for folder in ["var/cache/apt", "var/lib/apt/lists", "var/log"] {
        empty(&root.join(folder))?;
    }
    let unfinished = work.path().join("base.tar");
    process::run(
        Command::new("tar")
            .args([
                "--create",
                "--sort=name",
                "--numeric-owner",
                "--one-file-system",
            ])
            .arg("--file")
            .arg(&unfinished)
            .arg("--directory")
            .arg(&root)
            .arg("."),
    )?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Adds this machine's own authorities (a company's proxy has one) and makes the bundle anew.
fn trust_authorities(root: &Path) -> Result<()> {
    let own = Path::new("/usr/local/share/ca-certificates");
    if own.is_dir() {
        process::run(
            Command::new("cp")
                .args(["--recursive", "--dereference", "--no-target-directory"])
                .arg(own)
                .arg(root.join("usr/local/share/ca-certificates")),
        )?;
    }
    process::run(
        Command::new("chroot")
            .arg(root)
            .arg("update-ca-certificates"),
    )
}

/// Removes the files below a folder and keeps the folders.
fn empty(folder: &Path) -> Result<()> {
    process::run(
        Command::new("find")
            .arg(folder)
            .args(["-type", "f", "-delete"]),
    )
}
