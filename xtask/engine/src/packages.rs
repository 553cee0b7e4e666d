//! What tests, tasks and examples use of the distribution's packages, each by name.
//!
//! A program counts only where packages put programs. One that stands elsewhere in `PATH`, say a docker
//! command in `/usr/local/bin`, has not brought its plugins or the daemon beside it.

use std::path::{Path, PathBuf};

use super::distribution::{Distribution, Kind};
use super::version_line;

/// The oldest engine that has the containerd image store and `BuildKit` as its default builder.
const OLDEST_ENGINE: u32 = 23;

/// Where packages put programs.
pub(super) const PROGRAM_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Where packages put the docker command's plugins (`docker/cli`,
/// `cli-plugins/manager/manager_unix.go`).
const PLUGIN_FOLDERS: [&str; 2] = [
    "/usr/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
];

/// A package and what is used of it.
struct Package {
    debian: &'static str,
    ubuntu: &'static str,
    /// Programs and plugins by their names, other files by their paths.
    files: &'static [&'static str],
}

/// The same package on both distributions.
const fn both(name: &'static str, files: &'static [&'static str]) -> Package {
    Package {
        debian: name,
        ubuntu: name,
        files,
    }
}

/// Everything that is used and not in each Debian anyway (priority "required").
const PACKAGES: [Package; 29] = [
    both("docker.io", &["dockerd"]),
    Package {
        debian: "docker-cli",
        ubuntu: "docker.io",
        files: &["docker"],
    },
    both("docker-buildx", &["docker-buildx"]),
    Package {
        debian: "docker-compose",
        ubuntu: "docker-compose-v2",
        files: &["docker-compose"],
    },
    both("containerd", &["containerd"]),
    both("runc", &["runc"]),
    both("podman", &["podman"]),
    both("buildah", &["buildah"]),
    both("netavark", &["/usr/lib/podman/netavark"]),
    both("uidmap", &["newuidmap", "newgidmap"]),
    both("docker-registry", &["docker-registry"]),
    both("iproute2", &["ip"]),
    both(
        "iptables",
        &["iptables", "iptables-save", "iptables-restore"],
    ),
    both("nftables", &["nft"]),
    both("e2fsprogs", &["mkfs.ext4"]),
    both("mount", &["losetup", "mount", "umount"]),
    both(
        "util-linux",
        &["unshare", "nsenter", "setpriv", "setsid", "fallocate"],
    ),
    both("procps", &["pgrep"]),
    both("attr", &["getfattr", "setfattr"]),
    // dpkg's list of its files says that it is this busybox, which a container without libraries can run.
    both(
        "busybox-static",
        &["busybox", "/var/lib/dpkg/info/busybox-static.list"],
    ),
    // Steps of CI systems become root by it.
    both("sudo", &["sudo"]),
    both("openssl", &["openssl"]),
    both("time", &["time"]),
    both("zstd", &["zstdmt"]),
    both("python3", &["python3"]),
    // It has no program of its own.
    both("python3-venv", &["/var/lib/dpkg/info/python3-venv.list"]),
    // It runs actions of GitHub's.
    both("nodejs", &["node"]),
    both("debootstrap", &["debootstrap"]),
    both("debian-archive-keyring", &[super::base::KEYRING]),
];

/// The packages to install, of those that this machine lacks or has too old.
pub(super) fn missing(distribution: &Distribution) -> Vec<&'static str> {
    let mut names: Vec<&str> = PACKAGES
        .iter()
        .filter(|package| package.files.iter().any(|name| find(name).is_none()))
        .map(|package| package.name(distribution))
        .collect();
    let outdated = engine_major().is_some_and(|major| major < OLDEST_ENGINE);
    if outdated && matches!(distribution.kind, Kind::Debian(_)) {
        names.push("docker.io");
    }
    names
}

/// The files that are used, as far as packages have put them where they belong.
pub(super) fn files() -> impl Iterator<Item = PathBuf> {
    let names = PACKAGES.iter().flat_map(|package| package.files);
    names.filter_map(|name| find(name))
}

impl Package {
    fn name(&self, distribution: &Distribution) -> &'static str {
        match distribution.kind {
            Kind::Debian(_) => self.debian,
            Kind::Ubuntu(_) => self.ubuntu,
        }
    }
}

/// A plugin is looked for first: Debian 12's own `docker-compose` is a program, of the old kind.
fn find(name: &str) -> Option<PathBuf> {
    let folders: &[&str] = match name {
        "docker-buildx" | "docker-compose" => &PLUGIN_FOLDERS,
        _ => &PROGRAM_FOLDERS,
    };
    // An absolute path replaces the folder.
    let places = folders.iter().map(|folder| Path::new(folder).join(name));
    places.into_iter().find(|path| path.exists())
}

/// `Docker version 26.1.5+dfsg1, build …` is 26.
fn engine_major() -> Option<u32> {
    let line = version_line("dockerd", &["--version"])?;
    let version = line.split_whitespace().nth(2)?;
    version.split('.').next()?.parse().ok()
}
