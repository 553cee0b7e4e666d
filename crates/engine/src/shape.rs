//! How our engine stands beside the machine's: what is asked for, and what is chosen.

use std::fmt;
use std::str::FromStr;

use larder_docker::UnknownValue;
use serde::{Deserialize, Serialize};

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
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        match text {
            "auto" => Ok(Self::Auto),
            "takeover" => Ok(Self::Takeover),
            "private" => Ok(Self::Private),
            _ => Err(UnknownValue {
                what: "engine shape",
                value: text.to_owned(),
                expected: "auto, takeover, private, podman or buildkit",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_people_are_read() {
        assert_eq!("private".parse::<Asked>().expect("known"), Asked::Private);
        assert!("docker".parse::<Asked>().is_err());
    }
}
