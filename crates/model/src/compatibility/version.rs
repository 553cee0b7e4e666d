//! Versions of engines: `26.1.5`.

use std::fmt;
use std::str::FromStr;

use crate::digest::serde_as_text;

/// The numbers of a version; a distribution's suffix does not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Formats of the engine's root change with this one.
    pub major: u32,
    /// New features.
    pub minor: u32,
    /// Corrections.
    pub patch: u32,
}

/// A text that begins with no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown version {0:?}; expected three numbers such as 26.1.5")]
pub struct VersionError(String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Accepts what follows the numbers: `26.1.5+dfsg1,`, `1.7.24~ds1`, `v2.0.0-rc.1`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let numbers: Option<Vec<u32>> = parts.map(leading_number).collect();
        match numbers.as_deref() {
            Some(&[major, minor, patch]) => Ok(Self {
                major,
                minor,
                patch,
            }),
            _ => Err(VersionError(text.to_owned())),
        }
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().ok()
}

serde_as_text! { Version }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_and_of_docker_are_read() {
        for (text, expected) in [
            ("26.1.5+dfsg1,", "26.1.5"),
            ("29.4.2,", "29.4.2"),
            ("1.7.24~ds1-6+deb13u1", "1.7.24"),
            ("v2.1.5", "2.1.5"),
            ("2.0.0-rc.1", "2.0.0"),
        ] {
            let version: Version = text.parse().expect("a version");
            assert_eq!(version.to_string(), expected, "{text}");
            let json = serde_json::to_string(&version).expect("a text");
            assert_eq!(json, format!("{expected:?}"));
            let read: Version = serde_json::from_str(&json).expect("a version");
            assert_eq!(read, version);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "v",
            "26",
            "26.1",
            "26..5",
            "x.1.2",
            "26.1.x",
            "4294967296.0.0",
        ] {
            let error = text.parse::<Version>().expect_err("no version");
            assert!(error.to_string().contains("26.1.5"), "{error}");
        }
    }
}
