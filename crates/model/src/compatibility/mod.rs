//! Which saved state an engine can continue: the key that its documents are found by, and the rule
//! for versions within one key.
//!
//! Upgrades of an engine's root mostly work and downgrades are not tested by anybody, so a volume is
//! continued by the same major version, same or newer.

pub mod version;

use std::fmt;

use self::version::Version;

/// What must be equal for one engine to use what another one saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compatibility<'a> {
    /// Of the machine that the engine runs on: `linux`.
    pub os: &'a str,
    /// Of that machine: `x86_64`, `aarch64`.
    pub arch: &'a str,
    /// Where the engine keeps images, `overlay2` or `containerd`: the two stores share nothing. Podman's storage
    /// driver.
    pub image_store: &'a str,
    /// Whose engine it is.
    pub family: Family,
    /// Its version, of which the major number counts.
    pub version: Version,
}

/// `linux-x86_64-overlay2-docker26`: fit for a file name and an object's path.
impl fmt::Display for Compatibility<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{}-{}{}",
            self.os,
            self.arch,
            self.image_store,
            self.family.key(),
            self.version.major
        )
    }
}

/// Whose engine has written a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// dockerd and its containerd.
    Docker,
    /// podman and buildah, which share their storage.
    Podman,
}

impl Family {
    /// Its name in keys and documents.
    pub fn key(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// As people write it.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}

/// What must be equal for directories to be continued where no engine has them: the machine, for what is built for
/// it, and their names.
pub fn of_folders(os: &str, arch: &str, names: &[String]) -> String {
    let mut names = names.to_vec();
    names.sort();
    format!("{os}-{arch}-folder-{}", names.join("+"))
}

/// What must be equal for a builder without an engine to be continued: the machine that its results are built on. A
/// state of a newer version it leaves by itself.
pub fn of_builder(os: &str, arch: &str) -> String {
    format!("{os}-{arch}-buildkit")
}

/// Why an engine of version `ours` must not continue what one of the same family, `recorded`, left, but start empty.
pub fn refusal(family: Family, recorded: Version, ours: Version) -> Option<String> {
    let saved = format!("it was saved by {family} {recorded} and this is");
    if recorded.major != ours.major {
        return Some(format!(
            "{saved} {ours}: another major version may read it wrongly"
        ));
    }
    (recorded > ours).then(|| format!("{saved} the older {ours}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn only_the_same_major_same_or_newer_continues() {
        let ours = version("26.1.5");
        let refused = |recorded| refusal(Family::Docker, version(recorded), ours);
        assert_eq!(refused("26.1.5"), None);
        assert_eq!(refused("26.0.9"), None);
        for cold in ["26.1.6", "26.10.0", "25.0.0", "27.0.0"] {
            assert!(refused(cold).is_some(), "{cold}");
        }
        let podman = refusal(Family::Podman, version("4.9.0"), version("4.3.1"));
        let said = podman.expect("an older one");
        assert_eq!(
            said,
            "it was saved by Podman 4.9.0 and this is the older 4.3.1"
        );
    }

    #[test]
    fn the_key_names_all_that_must_be_equal() {
        let key = Compatibility {
            os: "linux",
            arch: "x86_64",
            image_store: "overlay2",
            family: Family::Docker,
            version: version("26.1.5"),
        };
        assert_eq!(key.to_string(), "linux-x86_64-overlay2-docker26");
        let podman = Compatibility {
            image_store: "overlay",
            family: Family::Podman,
            version: version("4.3.1"),
            ..key
        };
        assert_eq!(podman.to_string(), "linux-x86_64-overlay-podman4");
        let names = ["target", ".gradle"].map(str::to_owned);
        let folders = of_folders("linux", "x86_64", &names);
        assert_eq!(folders, "linux-x86_64-folder-.gradle+target");
        assert_eq!(of_builder("linux", "x86_64"), "linux-x86_64-buildkit");
    }
}
