//! Where files of a build come from, and the names of that.

use serde::{Deserialize, Serialize};

use super::options::NamedContext;
use crate::dockerfile::error::Fault;
use crate::dockerfile::platform::Platform;
use crate::reference::ImageReference;

/// How an image is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UseKind {
    /// `FROM image`.
    From,
    /// `COPY --from=image`.
    Copy,
    /// `RUN --mount=from=image`.
    Mount,
    /// `# syntax=image`.
    Syntax,
}

/// Where files come from: what a stage starts from, or what an instruction copies or mounts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nothing.
    Scratch,
    /// A stage, by its index.
    Stage(usize),
    /// An external image.
    Image(WantedImage),
    /// A named context that is no image.
    Context(NamedContext),
}

/// An external image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedImage {
    /// Its full reference.
    pub reference: ImageReference,
    /// The platform that is wanted of it.
    pub platform: Platform,
}

/// Reads an image's name; `text` is what the file says for it.
pub(super) fn parse_image(name: &str, text: &str) -> Result<ImageReference, Fault> {
    match ImageReference::parse(name) {
        Ok(reference) => Ok(reference.or_latest()),
        Err(error) => Err(Fault::new(text, error.to_string())),
    }
}

/// A stage's name must do as the name of a context, which is an image's
/// (dockerui/config.go `NamedContext`).
pub(super) fn check_context_name(name: &str) -> Result<(), Fault> {
    if matches!(name, "scratch" | "context") {
        return Ok(());
    }
    if ImageReference::parse(name).is_ok() {
        return Ok(());
    }
    Err(Fault::new(name, format!("invalid context name {name}"))
        .hint("end the stage's name in a letter or digit, with single signs within"))
}
