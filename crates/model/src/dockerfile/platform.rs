//! Platforms as `containerd/platforms` reads and writes them: `linux/arm64/v8`,
//! `windows(10.0.17763)/amd64`.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::digest::serde_as_text;

/// An operating system and a processor, in their normal form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The operating system, as Go names it.
    pub os: String,
    /// The version of the operating system; empty for any. Only Windows images have it.
    pub os_version: String,
    /// Features of the operating system, sorted.
    pub os_features: Vec<String>,
    /// The processor architecture, as Go names it.
    pub architecture: String,
    /// The variant of the architecture; empty for the usual one.
    pub variant: String,
}

/// Text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{specifier:?} is not a platform: {reason} (write os/architecture, such as linux/amd64)")]
pub struct PlatformError {
    /// The text.
    pub specifier: String,
    reason: &'static str,
}

impl Platform {
    /// A platform without version, features or variant.
    pub fn new(os: &str, architecture: &str) -> Self {
        Self {
            os: os.to_owned(),
            os_version: String::new(),
            os_features: Vec::new(),
            architecture: architecture.to_owned(),
            variant: String::new(),
        }
    }

    /// A platform of these parts, spelt as images write them, in normal form.
    pub fn normal(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = normal_architecture(architecture, variant);
        Self {
            variant,
            ..Self::new(&normal_os(os), &architecture)
        }
    }

    /// Reads a specifier. One word alone is an operating system or an architecture; the missing
    /// half is the host's (`platforms.Parse`, then `platforms.Normalize`).
    pub fn parse(specifier: &str, host: &Self) -> Result<Self, PlatformError> {
        Self::read(specifier, host).map_err(|reason| PlatformError {
            specifier: specifier.to_owned(),
            reason,
        })
    }

    fn read(specifier: &str, host: &Self) -> Result<Self, &'static str> {
        if specifier.contains('*') {
            return Err("wildcards are not supported");
        }
        let parts: Vec<&str> = specifier.split('/').collect();
        if !parts[1..].iter().all(|part| is_plain(part)) {
            return Err("a part holds other than letters, digits, '_', '.' and '-'");
        }
        let (os, version, features) =
            split_os(parts[0]).ok_or("its operating system is malformed")?;
        let mut platform = Self {
            os_version: version,
            os_features: features,
            ..Self::new(&normal_os(&os), "")
        };
        match parts[1..] {
            [] if is_known(&platform.os, SYSTEMS) => {
                host.architecture.clone_into(&mut platform.architecture);
            }
            [] => {
                let (architecture, variant) = normal_architecture(parts[0], "");
                if !is_known(&architecture, ARCHITECTURES) {
                    return Err("unknown operating system or architecture");
                }
                host.os.clone_into(&mut platform.os);
                (platform.architecture, platform.variant) = (architecture, variant);
            }
            [architecture, ref variant @ ..] if variant.len() < 2 => {
                let variant = variant.concat();
                (platform.architecture, platform.variant) =
                    normal_architecture(architecture, &variant);
            }
            _ => return Err("it has more than three parts"),
        }
        platform.os_features.sort();
        platform.os_features.dedup();
        Ok(platform)
    }

    /// Without version and features: what the `BUILDPLATFORM` argument holds (`platforms.Format`).
    pub(super) fn short(&self) -> String {
        format!("{}/{}", self.os, self.processor())
    }

    fn processor(&self) -> String {
        match self.variant.as_str() {
            "" => self.architecture.clone(),
            variant => format!("{}/{variant}", self.architecture),
        }
    }
}

impl fmt::Display for Platform {
    /// `platforms.FormatAll`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if !self.os_version.is_empty() || !self.os_features.is_empty() {
            write!(f, "({}", encoded(&self.os_version))?;
            for feature in &self.os_features {
                write!(f, "+{}", encoded(feature))?;
            }
            f.write_str(")")?;
        }
        write!(f, "/{}", self.processor())
    }
}

serde_as_text! { Platform }

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::parse(text, &Self::new("linux", "amd64"))
    }
}

fn is_plain(part: &str) -> bool {
    !part.is_empty() && has_only(part, "_.-")
}

fn has_only(text: &str, signs: &str) -> bool {
    let mut chars = text.chars();
    chars.all(|c| c.is_ascii_alphanumeric() || signs.contains(c))
}

/// `os`, `os(version)`, `os(version+feature+…)`.
fn split_os(text: &str) -> Option<(String, String, Vec<String>)> {
    let (name, options) = match text.strip_suffix(')') {
        Some(rest) => rest.split_once('(')?,
        None => (text, ""),
    };
    if name.is_empty() || !has_only(name, "_-") || !has_only(options, "_-.%+") {
        return None;
    }
    let mut options = options.split('+');
    let version = decoded(options.next().unwrap_or_default())?;
    let features = options.map(|feature| match feature {
        "" => None,
        feature => decoded(feature),
    });
    Some((name.to_owned(), version, features.collect::<Option<_>>()?))
}

/// Resolves `%XX`.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes what cannot stand in an option as `%XX`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string");
        }
    }
    out
}

fn normal_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

/// `isKnownOS`.
const SYSTEMS: &str = "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd \
    openbsd plan9 solaris windows zos";

/// `isKnownArch`.
const ARCHITECTURES: &str = "386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips \
    mipsle mips64 mips64le mips64p32 mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm";

fn is_known(word: &str, list: &str) -> bool {
    list.split(' ').any(|known| known == word)
}

/// `containerd/platforms` `normalizeArch`.
fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", other) => ("arm64", other),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        (architecture, other) => (architecture, other),
    };
    (architecture.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let images = Platform::normal("Linux", "aarch64", "v8");
        assert_eq!(Ok(images), "linux/arm64".parse());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "linux/", "/amd64", "linux/arm/v7/x", "linux/*", "a b/c"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
