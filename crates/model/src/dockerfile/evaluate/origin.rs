//! Where files of a build come from, and the names of that.

use serde::{Deserialize, Serialize};

use super::options::NamedContext;
use crate::dockerfile::error::{DockerfileError, Fault};
use crate::dockerfile::front_end::FrontEnd;
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

/// One place that names an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUse {
    /// How it is used.
    pub kind: UseKind,
    /// The stage's name, or `stage-N`; nothing for the front end's image.
    pub stage: Option<String>,
    /// The line, counted from 1.
    pub line: u32,
    /// The column, counted from 1.
    pub column: u32,
    /// Whether the target needs this use.
    pub reached: bool,
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

/// The image of a front end, with its place in the file `source`; nothing for the engine's own.
pub(super) fn front_end(
    front_end: &FrontEnd,
    source: &str,
) -> Result<Option<(ImageReference, ImageUse)>, DockerfileError> {
    let Some(image) = front_end.image() else {
        return Ok(None);
    };
    let reference = parse_image(image, image).map_err(|fault| {
        let hint = "write an image such as docker/dockerfile:1";
        fault.hint(hint).at(source, front_end.span)
    })?;
    let (line, column) = front_end.span.locate(source, image);
    let site = ImageUse {
        kind: UseKind::Syntax,
        stage: None,
        line,
        column,
        reached: true,
    };
    Ok(Some((reference, site)))
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
