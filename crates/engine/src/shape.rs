//! The words that people and state files use: shape, image store, instance id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};

/// How our engine stands beside the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// In its place: the usual socket, the host's network.
    Takeover,
    /// Beside it: an own socket and an own network namespace.
    Private,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Takeover => "takeover",
            Self::Private => "private",
        })
    }
}

/// What a person asks for with `--engine`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// Decide by what the machine's engine does now.
    #[default]
    Auto,
    /// Only [`Shape::Takeover`] will do.
    Takeover,
    /// Only [`Shape::Private`] will do.
    Private,
}

impl FromStr for Asked {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "takeover" => Ok(Self::Takeover),
            "private" => Ok(Self::Private),
            _ => Err(EngineError::UnknownValue {
                what: "engine shape",
                value: text.to_owned(),
                expected: "auto, takeover or private",
            }),
        }
    }
}

/// A shape and the one line that says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What was chosen.
    pub shape: Shape,
    /// Why, as part of a sentence: "the machine's engine is idle".
    pub reason: String,
}

/// Where the engine keeps images. Always set explicitly: an engine left to itself follows what it
/// finds in its root (moby `daemon/image_store_choice.go`), and a volume that wanders between
/// machines would flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageStore {
    /// Docker's own layer store with the overlay2 graph driver.
    Overlay2,
    /// containerd's content store and overlayfs snapshotter.
    Containerd,
}

impl fmt::Display for ImageStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Overlay2 => "overlay2",
            Self::Containerd => "containerd",
        })
    }
}

impl FromStr for ImageStore {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "overlay2" => Ok(Self::Overlay2),
            "containerd" => Ok(Self::Containerd),
            _ => Err(EngineError::UnknownValue {
                what: "image store",
                value: text.to_owned(),
                expected: "overlay2 or containerd",
            }),
        }
    }
}

/// Names one engine on this machine. It becomes a directory, a network interface and the comment
/// of a firewall rule, so it is short and plain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(EngineError::UnknownValue {
            what: "instance id",
            value: text.to_owned(),
            expected: "1 to 12 characters of a-z and 0-9",
        })
    }
}

impl TryFrom<String> for InstanceId {
    type Error = EngineError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_as_written() {
        for store in [ImageStore::Overlay2, ImageStore::Containerd] {
            assert_eq!(
                store.to_string().parse::<ImageStore>().expect("own text"),
                store
            );
        }
        assert!("aufs".parse::<ImageStore>().is_err());
        assert_eq!("private".parse::<Asked>().expect("known"), Asked::Private);
        assert!("docker".parse::<Asked>().is_err());
    }

    #[test]
    fn ids_fit_an_interface_name() {
        assert!("abcdef012345".parse::<InstanceId>().is_ok());
        for bad in ["", "abcdef0123456", "Upper", "a-b", "a/b", "ä"] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?} passed");
        }
    }
}
