//! Which dockerd and containerd this machine has. Both are asked before anything is restored, because
//! their versions are part of the key that finds a volume.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use larder_docker::ImageStore;
use larder_local::child::{Limits, NoAnswer, ask};
use larder_local::programs;
use larder_model::compatibility::{Compatibility, Family};
use larder_model::version::Version;
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};
use crate::tool::{IP, IPTABLES_SAVE, NFT};

/// The first version of dockerd that can do without iptables (`firewall-backend`).
const NFTABLES_SINCE_MAJOR: u32 = 29;

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
    /// Whether its firewall is nftables because the machine has no iptables.
    pub nftables: bool,
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
        let other = other.join();
        (own, other.expect("asking for a version does not panic"))
    });
    let version = version?;
    Ok(EngineProgram {
        version,
        containerd_version: containerd_version?,
        nftables: version.major >= NFTABLES_SINCE_MAJOR
            && programs::find(IPTABLES_SAVE.program, search).is_none()
            && programs::find(NFT.program, search).is_some(),
        dockerd,
        containerd,
    })
}

/// A program that must be there; else the packages that hold it are named.
pub fn find(program: &'static str, package: &'static str, search: &[PathBuf]) -> Result<PathBuf> {
    programs::find(program, search).ok_or(EngineError::ProgramMissing { program, package })
}

/// The version that a program prints for `--version`.
pub fn version_of(program: &Path) -> Result<Version> {
    let asked = ask(Command::new(program).arg("--version"), "", Limits::QUICK);
    let output = asked.map_err(|why| match why {
        NoAnswer::Io(error) => EngineError::io("cannot run", program)(error),
        why => EngineError::ToolHangs {
            command: format!("{} --version", program.display()),
            why: why.to_string(),
        },
    })?;
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

impl EngineProgram {
    /// Checks that the programs are there by which an engine gets its network.
    pub fn check_network_tools(&self, search: &[PathBuf]) -> Result<()> {
        find(IP.program, IP.package, search)?;
        if !self.nftables {
            find(IPTABLES_SAVE.program, IPTABLES_SAVE.package, search)?;
        }
        Ok(())
    }

    /// What must be equal for this machine's engine to continue another's volume.
    pub fn compatibility(&self, image_store: ImageStore) -> String {
        let key = Compatibility {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            image_store: &image_store.to_string(),
            family: Family::Docker,
            version: self.version,
        };
        key.to_string()
    }
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
    fn a_missing_program_names_its_package() {
        let error = find("no-such-daemon", "docker.io", &[]).expect_err("nothing has this name");
        assert_eq!(
            error.to_string(),
            "`no-such-daemon` was not found; install the package docker.io"
        );
    }
}
