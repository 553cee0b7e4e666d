//! Platforms, and which entry of an index an engine takes for one.
//!
//! The choice is containerd's, because the engine will pull by it: `platforms.Only` and
//! `platformVector` (containerd/platforms `compare.go`) give the acceptable platforms, best first;
//! `Normalize` (`database.go`, `normalizeArch`) decides which spellings are the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a platform: expected `os/architecture` or `os/architecture/variant`, such as `linux/arm64`"
)]
pub struct PlatformError(String);

/// What an image runs on, in the words of Go and the OCI image specification. Written
/// `linux/arm/v7`, in JSON too.
///
/// `os.version` is left out: only Windows compares it, and only when the request names one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
    /// `v7`; empty where the architecture has one form only.
    pub variant: String,
}

impl Platform {
    /// A platform of these parts, in normal form.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let os = match os.to_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let (architecture, variant) = normal_architecture(architecture, variant);
        Self {
            os,
            architecture,
            variant,
        }
    }

    /// Whether this entry names no platform: attestations are marked `unknown/unknown`.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }

    /// How well an image for `offered` serves a request for this platform: 0 is best, `None` is not
    /// at all.
    pub fn rank(&self, offered: &Self) -> Option<usize> {
        self.acceptable()
            .iter()
            .position(|wanted| wanted == offered)
    }

    /// The platforms that serve a request for this one, best first.
    fn acceptable(&self) -> Vec<Self> {
        let mut list = vec![self.clone()];
        let mut add = |architecture: &str, variant: String| {
            list.push(Self::new(&self.os, architecture, &variant));
        };
        match self.architecture.as_str() {
            "amd64" => {
                for level in (1..version(&self.variant)).rev() {
                    add("amd64", format!("v{level}"));
                }
                add("386", String::new());
            }
            "arm" => {
                for variant in arm_below(version(&self.variant)) {
                    add("arm", variant);
                }
            }
            "arm64" => {
                for variant in arm64_below(&self.variant) {
                    add("arm64", variant);
                }
                let thirty_two_bit = match self.variant.as_str() {
                    "" => "v8",
                    v if v.starts_with("v8.") || v.starts_with("v9.") => "v8",
                    other => other,
                };
                add("arm", thirty_two_bit.to_owned());
                for variant in arm_below(version(thirty_two_bit)) {
                    add("arm", variant);
                }
            }
            _ => {}
        }
        list
    }
}

/// The number of `v7`; 0 where there is none, which no rule below asks for.
fn version(variant: &str) -> u32 {
    variant
        .trim_start_matches('v')
        .parse()
        .ok()
        .filter(|n| *n <= 99)
        .unwrap_or(0)
}

fn arm_below(version: u32) -> impl Iterator<Item = String> {
    (5..version).rev().map(|v| format!("v{v}"))
}

/// The 64-bit ARM variants below this one. Armv9.x holds all of Armv8.(x+5).
fn arm64_below(variant: &str) -> Vec<String> {
    let variant = if variant.is_empty() { "v8" } else { variant };
    let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
    // As containerd: a minor number of more than one digit counts as none.
    let minor = if minor.len() == 1 {
        minor.parse().unwrap_or(0)
    } else {
        0
    };
    let down = |major: u32, below: u32| {
        (0..below).rev().map(move |minor| match minor {
            0 => format!("v{major}"),
            minor => format!("v{major}.{minor}"),
        })
    };
    match version(major) {
        9 => down(9, minor).chain(down(8, minor + 6)).collect(),
        major @ 8.. => down(major, minor).collect(),
        _ => Vec::new(),
    }
}

/// `normalizeArch` in containerd/platforms `database.go`.
fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64" | "arm64", other) => ("arm64", other),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.to_owned(), variant.to_owned())
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let refuse = || PlatformError(text.chars().take(80).collect());
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let allowed = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
        };
        if !parts.iter().all(allowed) {
            return Err(refuse());
        }
        match parts[..] {
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(refuse()),
        }
    }
}

impl TryFrom<String> for Platform {
    type Error = PlatformError;

    fn try_from(text: String) -> Result<Self, PlatformError> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", self.variant)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> String {
        let platform: Platform = text.parse().expect("a platform");
        let names: Vec<String> = platform
            .acceptable()
            .iter()
            .map(ToString::to_string)
            .collect();
        names.join(" ").replace("linux/", "")
    }

    /// Each line as `platforms.Only` documents it (`compare.go`).
    #[test]
    fn acceptable_platforms_are_containerds() {
        for (wanted, expected) in [
            ("linux/amd64", "amd64 386"),
            ("linux/amd64/v1", "amd64 386"),
            ("linux/amd64/v3", "amd64/v3 amd64/v2 amd64 386"),
            ("linux/386", "386"),
            ("linux/arm", "arm/v7 arm/v6 arm/v5"),
            ("linux/arm/v6", "arm/v6 arm/v5"),
            ("linux/arm/v5", "arm/v5"),
            ("linux/arm/v8", "arm/v8 arm/v7 arm/v6 arm/v5"),
            ("linux/arm64", "arm64 arm/v8 arm/v7 arm/v6 arm/v5"),
            (
                "linux/arm64/v8.2",
                "arm64/v8.2 arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5",
            ),
            (
                "linux/arm64/v9.1",
                "arm64/v9.1 arm64/v9 arm64/v8.6 arm64/v8.5 arm64/v8.4 arm64/v8.3 arm64/v8.2 \
                 arm64/v8.1 arm64 arm/v8 arm/v7 arm/v6 arm/v5",
            ),
            ("linux/ppc64le", "ppc64le"),
            ("linux/s390x", "s390x"),
            ("linux/riscv64", "riscv64"),
        ] {
            assert_eq!(list(wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn arm64_v9_falls_back_to_arm_v9_as_containerd_does() {
        assert_eq!(
            list("linux/arm64/v9"),
            "arm64/v9 arm64/v8.5 arm64/v8.4 arm64/v8.3 arm64/v8.2 arm64/v8.1 arm64 \
             arm/v9 arm/v8 arm/v7 arm/v6 arm/v5"
        );
    }

    #[test]
    fn spellings_of_one_platform_are_equal() {
        for (one, other) in [
            ("linux/aarch64", "linux/arm64/v8"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/6"),
            ("linux/i386", "linux/386"),
            ("macos/arm64", "darwin/arm64"),
        ] {
            assert_eq!(one.parse::<Platform>(), other.parse::<Platform>(), "{one}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm/v7/x",
            "linux/*",
            "a b/c",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
