//! `--retry-empty`: whether a command is run again when the engine's disk has failed.

use std::ffi::OsString;
use std::str::FromStr;

use larder_model::repeat::is_build;

use crate::exit::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryEmpty {
    /// If it is a build.
    Auto,
    Always,
    Never,
}

impl FromStr for RetryEmpty {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            other => Err(Failure::input(format!(
                "--retry-empty {other:?} is not known; write auto, always or never"
            ))),
        }
    }
}

impl RetryEmpty {
    pub(crate) fn applies_to(self, command: &[OsString]) -> bool {
        let words = command.iter().map(|word| word.to_string_lossy());
        match self {
            Self::Auto => is_build(&words.collect::<Vec<_>>()),
            Self::Always => true,
            Self::Never => false,
        }
    }
}
