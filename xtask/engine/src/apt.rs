//! What is installed from the distribution's packages.
//!
//! Debian 12's own engine is Docker 20.10. The tests want a current one, so docker.io comes from
//! Debian 13 there: through a private package source in the cache folder, with pins that let
//! nothing else move. With `apt-get install -t trixie` instead, runc would ask for a newer libc
//! and the machine would be half upgraded. The machine's own sources are not touched.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::distribution::{Distribution, Kind};
use super::{packages, version_line};
use xtask_tools::{process, say};

/// Installs what is missing; does nothing when all programs are there.
pub(super) fn install_missing(distribution: &Distribution, cache: &Path) -> Result<()> {
    let packages = packages::missing(distribution);
    if packages.is_empty() {
        return Ok(());
    }
    say::timed(&format!("installed {}", packages.join(", ")), || {
        let _quiet = NoServices::begin()?;
        let apt = Apt::new(distribution, cache)?;
        apt.get(&["update"])?;
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(&packages);
        apt.get(&arguments)
    })?;
    let missing = packages::missing(distribution);
    ensure!(
        missing.is_empty(),
        "still missing after the installation: what is used of {}",
        missing.join(", ")
    );
    Ok(())
}

/// The programs that matter to a reader, with their versions.
pub fn versions() -> Vec<(&'static str, Option<String>)> {
    vec![
        ("dockerd", version_line("dockerd", &["--version"])),
        ("docker", version_line("docker", &["--version"])),
        ("buildx", version_line("docker", &["buildx", "version"])),
        ("compose", version_line("docker", &["compose", "version"])),
        ("containerd", version_line("containerd", &["--version"])),
        ("runc", version_line("runc", &["--version"])),
        ("podman", version_line("podman", &["--version"])),
        ("buildah", version_line("buildah", &["--version"])),
        ("registry", version_line("docker-registry", &["--version"])),
        ("debootstrap", version_line("debootstrap", &["--version"])),
    ]
}

/// A mirror that fails once is asked again.
pub(super) const RETRIES: [&str; 2] = ["-o", "Acquire::Retries=5"];

/// apt-get with the right sources for this machine.
struct Apt {
    options: Vec<OsString>,
}

impl Apt {
    fn new(distribution: &Distribution, cache: &Path) -> Result<Self> {
        let options = match distribution.kind {
            Kind::Ubuntu(_) => Vec::new(),
            Kind::Debian(suite) => private_sources(distribution, suite, &cache.join("apt"))?,
        };
        Ok(Self { options })
    }

    fn get(&self, arguments: &[&str]) -> Result<()> {
        process::run(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                // Another installation on this machine is waited for, not failed at.
                .args(["-qq", "-o", "DPkg::Lock::Timeout=600"])
                .args(RETRIES)
                .args(&self.options)
                .args(arguments),
        )
    }
}

/// Unpacks packages of a suite, without what they depend on: the folder that stands for the root.
pub(super) fn unpack(
    distribution: &Distribution,
    suite: &str,
    packages: &[&str],
    work: &Path,
) -> Result<PathBuf> {
    let options = sources_alone(distribution, suite, work)?;
    for arguments in [&["update"][..], &[&["download"], packages].concat()] {
        let mut command = Command::new("apt-get");
        command.current_dir(work).arg("-qq").args(&options);
        process::run(command.args(RETRIES).args(arguments))?;
    }
    let root = work.join("root");
    for entry in fs::read_dir(work)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            process::run(Command::new("dpkg").arg("--extract").arg(&path).arg(&root))?;
        }
    }
    Ok(root)
}

/// apt with the sources of a suite alone, and with no idea of what is installed: it would not
/// download something older than that.
fn sources_alone(distribution: &Distribution, suite: &str, folder: &Path) -> Result<Vec<String>> {
    let [sources, lists, status] = ["sources", "lists", "status"].map(|name| folder.join(name));
    fs::create_dir_all(&lists)?;
    fs::create_dir_all(&sources)?;
    fs::write(
        sources.join("debian.list"),
        super::base::apt_sources(distribution, suite)?,
    )?;
    fs::write(&status, "")?;
    let options = [
        ("Dir::Etc::SourceList", Path::new("/dev/null")),
        ("Dir::Etc::SourceParts", &sources),
        ("Dir::State::Lists", &lists),
        ("Dir::State::status", &status),
        // Not the machine's own, which another installation may be writing.
        ("Dir::Cache", folder),
        // Lists that stand still for a while are as good: they are signed, and nothing of them is installed.
        ("Acquire::Check-Valid-Until", Path::new("false")),
        // apt's own user cannot read a home folder.
        ("APT::Sandbox::User", Path::new("root")),
    ];
    let options = options.map(|(name, path)| format!("-o{name}={}", path.display()));
    Ok(options.into())
}

/// Writes the private sources and pins, and returns the options that make apt use only them.
fn private_sources(
    distribution: &Distribution,
    suite: &str,
    folder: &Path,
) -> Result<Vec<OsString>> {
    let [sources, preferences, lists] =
        ["sources", "preferences", "lists"].map(|name| folder.join(name));
    for path in [&sources, &preferences, &lists] {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    let mut text = super::base::apt_sources(distribution, suite)?;
    if suite == "bookworm" {
        text.push_str(&super::base::apt_sources(distribution, "trixie")?);
    }
    fs::write(sources.join("debian.list"), text)?;
    fs::write(preferences.join("docker"), pins(suite))?;
    let option = |name: &str, path: &Path| {
        let mut word = OsString::from(format!("{name}="));
        word.push(path);
        [OsString::from("-o"), word]
    };
    let options = [
        option("Dir::Etc::SourceList", Path::new("/dev/null")),
        option("Dir::Etc::SourceParts", &sources),
        option("Dir::Etc::PreferencesParts", &preferences),
        option("Dir::State::Lists", &lists),
        // apt's own user cannot read a home folder.
        option("APT::Sandbox::User", Path::new("root")),
    ];
    Ok(options.into_iter().flatten().collect())
}

/// On Debian 12 only the engine, the docker command and its plugins come from Debian 13. runc stays,
/// because the newer one asks for the newer libc.
fn pins(suite: &str) -> &'static str {
    if suite == "bookworm" {
        "Package: *\nPin: release n=trixie*\nPin-Priority: 50\n\n\
         Package: docker.io docker-cli docker-buildx docker-compose containerd\nPin: release n=trixie*\nPin-Priority: 990\n"
    } else {
        ""
    }
}

/// While this lives, package installation starts no service: tests start their own engines.
/// (`invoke-rc.d(8)`: exit code 101 of the policy layer forbids the action.)
struct NoServices {
    written: Option<PathBuf>,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self { written: None });
        }
        fs::write(&path, "#!/bin/sh\nexit 101\n").context("cannot write /usr/sbin/policy-rc.d")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            written: Some(path),
        })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.written
            && let Err(error) = fs::remove_file(path)
        {
            say::line(format!(
                "warning: {} stays and keeps services from starting: {error}",
                path.display()
            ));
        }
    }
}
