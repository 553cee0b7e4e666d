//! Which saved volumes an engine can continue.
//!
//! Upgrades of an engine's root mostly work and downgrades are not tested by anybody, so a volume is
//! continued by the same major version, same or newer.

use std::fmt;

use larder_docker::{ImageStore, Version};
use serde::{Deserialize, Serialize};

use crate::program::EngineProgram;

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
    fn only_the_same_major_same_or_newer_continues() {
        let ours = version("26.1.5");
        assert_eq!(continuation(version("26.1.5"), ours), Continuation::Restore);
        assert_eq!(continuation(version("26.0.9"), ours), Continuation::Restore);
        for cold in ["26.1.6", "26.10.0", "25.0.0", "27.0.0"] {
            let continued = continuation(version(cold), ours);
            assert!(matches!(continued, Continuation::ColdBecause(_)), "{cold}");
        }
    }
}
