//! Versions of engines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::UnknownValue;

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
    type Err = UnknownValue;

    /// Accepts what follows the numbers: `26.1.5+dfsg1,`, `1.7.24~ds1`, `v2.0.0-rc.1`.
    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        numbers(text).ok_or_else(|| UnknownValue {
            what: "version",
            value: text.to_owned(),
            expected: "three numbers such as 26.1.5",
        })
    }
}

fn numbers(text: &str) -> Option<Version> {
    let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
    Some(Version {
        major: leading_number(parts.next()?)?,
        minor: leading_number(parts.next()?)?,
        patch: leading_number(parts.next()?)?,
    })
}

fn leading_number(part: &str) -> Option<u32> {
    let end = part.find(|c: char| !c.is_ascii_digit());
    part[..end.unwrap_or(part.len())].parse().ok()
}

impl TryFrom<String> for Version {
    type Error = UnknownValue;

    fn try_from(text: String) -> Result<Self, UnknownValue> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}
