//! The name of one engine on this machine.

use std::fmt;
use std::str::FromStr;

use larder_docker::UnknownValue;
use serde::{Deserialize, Serialize};

/// Names one engine on this machine. It becomes a directory, a network interface and the comment
/// of a firewall rule, so it is short and plain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct InstanceId(String);

impl InstanceId {
    /// An interface name holds 15 bytes (`IFNAMSIZ` less the terminator) and ours starts with `lr-`.
    pub const MAX_BYTES: usize = 12;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for InstanceId {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        let mut bytes = text.bytes();
        if (1..=Self::MAX_BYTES).contains(&text.len())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            return Ok(Self(text.to_owned()));
        }
        Err(UnknownValue {
            what: "instance id",
            value: text.to_owned(),
            expected: "1 to 12 characters of a-z and 0-9",
        })
    }
}

impl TryFrom<String> for InstanceId {
    type Error = UnknownValue;

    fn try_from(text: String) -> Result<Self, UnknownValue> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_an_interface_name() {
        assert!("abcdef012345".parse::<InstanceId>().is_ok());
        for bad in ["", "abcdef0123456", "Upper", "a-b", "a/b", "ä"] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?} passed");
        }
    }
}
