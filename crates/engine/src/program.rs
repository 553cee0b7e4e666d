//! Which dockerd and containerd this machine has, and which saved volumes they can continue.
//!
//! Both are asked before anything is restored, because their versions are part of the key that
//! finds a volume. Upgrades of an engine's root mostly work and downgrades are not tested by
//! anybody, so a volume is continued by the same major version, same or newer.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};
use crate::shape::ImageStore;
use crate::tool::{IP, IPTABLES_SAVE, USUAL_DIRECTORIES};

/// `26.1.5`: the numbers of a version; a distribution's suffix does not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// Formats of the engine's root change with this one.
    pub major: u32,
    /// New features.
    pub minor: u32,
    /// Corrections.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = EngineError;

    /// Accepts what follows the numbers: `26.1.5+dfsg1,`, `1.7.24~ds1`, `v2.0.0-rc.1`.
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || EngineError::UnknownValue {
            what: "version",
            value: text.to_owned(),
            expected: "three numbers such as 26.1.5",
        };
        let mut numbers = text
            .strip_prefix('v')
            .unwrap_or(text)
            .splitn(3, '.')
            .map(|part| {
                let end = part
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(part.len());
                part[..end].parse::<u32>().ok()
            });
        let mut next = || numbers.next().flatten().ok_or_else(unknown);
        Ok(Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
        })
    }
}

impl TryFrom<String> for Version {
    type Error = EngineError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// The programs that will be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineProgram {
    /// dockerd.
    pub dockerd: PathBuf,
    /// Its version.
    pub version: Version,
    /// containerd.
    pub containerd: PathBuf,
    /// Its version.
    pub containerd_version: Version,
}

/// Finds dockerd and containerd in `search` (the caller's `PATH`), then in the usual directories,
/// and asks both for their versions at the same time.
pub fn probe(search: &[PathBuf]) -> Result<EngineProgram> {
    let dockerd = find(
        "dockerd",
        "docker-ce (from docker.com) or docker.io (Debian, Ubuntu)",
        search,
    )?;
    let containerd = find(
        "containerd",
        "containerd.io (from docker.com) or containerd (Debian, Ubuntu)",
        search,
    )?;
    let (version, containerd_version) = thread::scope(|scope| {
        let other = scope.spawn(|| version_of(&containerd));
        let own = version_of(&dockerd);
        (
            own,
            other.join().expect("asking for a version does not panic"),
        )
    });
    Ok(EngineProgram {
        version: version?,
        containerd_version: containerd_version?,
        dockerd,
        containerd,
    })
}

/// Checks that the programs are there by which an engine gets its network.
pub fn check_network_tools(search: &[PathBuf]) -> Result<()> {
    for tool in [IP, IPTABLES_SAVE] {
        find(tool.program, tool.package, search)?;
    }
    Ok(())
}

fn find(program: &'static str, package: &'static str, search: &[PathBuf]) -> Result<PathBuf> {
    let usual = USUAL_DIRECTORIES.iter().map(Path::new);
    search
        .iter()
        .map(PathBuf::as_path)
        .chain(usual)
        .map(|directory| directory.join(program))
        .find(|path| {
            rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
        })
        .ok_or(EngineError::ProgramMissing { program, package })
}

fn version_of(program: &Path) -> Result<Version> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(EngineError::io("cannot run", program))?;
    let answer = String::from_utf8_lossy(&output.stdout);
    version_in(&answer).ok_or_else(|| EngineError::UnknownVersion {
        program: program.display().to_string(),
        answer: answer.trim().to_owned(),
    })
}

/// `Docker version 26.1.5+dfsg1, build 411e817` and `containerd github.com/… 1.7.24~ds1 …`: the
/// first word that is a version.
fn version_in(answer: &str) -> Option<Version> {
    answer.split_whitespace().find_map(|word| word.parse().ok())
}

/// What must be equal for one engine to continue another's volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compatibility {
    /// `linux` on all that this program runs on.
    pub os: String,
    /// As Rust names it: `x86_64`, `aarch64`.
    pub arch: String,
    /// The two stores share nothing.
    pub image_store: ImageStore,
    /// dockerd's major version.
    pub major: u32,
}

impl Compatibility {
    /// The compatibility of this machine's engine.
    pub fn of(program: &EngineProgram, image_store: ImageStore) -> Self {
        Self {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            image_store,
            major: program.version.major,
        }
    }
}

/// `linux-x86_64-overlay2-docker26`: fit for a file name and an object's path.
impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{}-docker{}",
            self.os, self.arch, self.image_store, self.major
        )
    }
}

/// What to do with a volume that another engine left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// Go on where it stopped.
    Restore,
    /// Start empty, for this reason.
    ColdBecause(String),
}

/// May an engine of version `ours` continue what `recorded` left?
pub fn continuation(recorded: Version, ours: Version) -> Continuation {
    if recorded.major != ours.major {
        return Continuation::ColdBecause(format!(
            "it was saved by Docker {recorded} and this is {ours}: another major version may read it wrongly"
        ));
    }
    if recorded > ours {
        return Continuation::ColdBecause(format!(
            "it was saved by Docker {recorded} and this is the older {ours}"
        ));
    }
    Continuation::Restore
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn versions_of_distributions_and_of_docker_are_read() {
        for (answer, expected) in [
            ("Docker version 26.1.5+dfsg1, build 411e817", "26.1.5"),
            ("Docker version 29.4.2, build 055a478", "29.4.2"),
            (
                "containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+deb13u1",
                "1.7.24",
            ),
            (
                "containerd containerd.io v2.1.5 fcd43222d6b07379a4be9786bda52438f0dd16a1",
                "2.1.5",
            ),
            (
                "containerd github.com/containerd/containerd/v2 2.0.0-rc.1 ",
                "2.0.0",
            ),
        ] {
            assert_eq!(version_in(answer), Some(version(expected)), "{answer}");
        }
        assert_eq!(version_in("podman, emulating docker"), None);
    }

    #[test]
    fn only_the_same_major_same_or_newer_continues() {
        let ours = version("26.1.5");
        assert_eq!(continuation(version("26.1.5"), ours), Continuation::Restore);
        assert_eq!(continuation(version("26.0.9"), ours), Continuation::Restore);
        for cold in ["26.1.6", "26.10.0", "25.0.0", "27.0.0"] {
            assert!(
                matches!(
                    continuation(version(cold), ours),
                    Continuation::ColdBecause(_)
                ),
                "{cold}"
            );
        }
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find("no-such-daemon", "docker.io", &[]).expect_err("nothing has this name");
        assert_eq!(
            error.to_string(),
            "`no-such-daemon` was not found; install the package docker.io"
        );
    }
}
