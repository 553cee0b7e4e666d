//! Which front end a build file is handed to: its syntax directive or the build argument
//! `BUILDKIT_SYNTAX` names the image, and what is in the file is then that image's affair
//! (`BuildKit`'s dockerfile/builder/build.go `Build`).

use std::collections::BTreeMap;

use super::error::Span;
use super::read::directive::{Syntax, detect_syntax};
use crate::reference::ImageReference;

/// The build argument that names a front end.
const ARGUMENT: &str = "BUILDKIT_SYNTAX";
/// Docker's own front end, wherever it is copied to: the last parts of the image's path.
const DOCKERS: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];
/// The release whose rules are followed here, that of `BuildKit` 0.32. The numbers are those of the
/// front end's tags.
const FOLLOWED: (u32, u32) = (1, 26);

/// What reads a build file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontEnd {
    /// As it was named; nothing for the engine's own.
    image: Option<String>,
    /// Where that stands.
    pub(super) span: Span,
    /// It was named in a comment, as a Dockerfile has them.
    in_comment: bool,
}

impl FrontEnd {
    /// The front end of a file that is built with these arguments.
    pub fn of(text: &[u8], build_args: &BTreeMap<String, String>) -> Self {
        let syntax = detect_syntax(&String::from_utf8_lossy(text));
        Self::named(syntax.as_ref(), build_args)
    }

    pub(super) fn named(syntax: Option<&Syntax>, build_args: &BTreeMap<String, String>) -> Self {
        if let Some(value) = build_args.get(ARGUMENT) {
            let image = value.trim().split(' ').next().unwrap_or_default();
            return Self {
                image: Some(image.to_owned()),
                span: Span::default(),
                in_comment: true,
            };
        }
        Self {
            image: syntax.map(|syntax| syntax.image.clone()),
            span: syntax.map_or_else(Span::default, |syntax| syntax.span),
            in_comment: syntax.is_none_or(|syntax| syntax.in_comment),
        }
    }

    /// Its image, as it was named; nothing for the engine's own front end.
    pub fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    /// Whether the file is a Dockerfile by the rules that are known here. An image that is none is not:
    /// that is told where the file is read.
    pub fn reads_dockerfiles(&self) -> bool {
        let Some(Ok(image)) = self.image().map(ImageReference::parse) else {
            return true;
        };
        let path = format!("/{}", image.path());
        let mut docker = DOCKERS.iter();
        self.in_comment && docker.any(|name| path.ends_with(&format!("/{name}")))
    }

    /// Whether it may know more than these rules: it is of a later release, or of none yet.
    pub fn is_newer(&self) -> bool {
        let tag = self.tag();
        let mut numbers = tag.split(['.', '-']).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) > FOLLOWED,
            (Some(Ok(major)), _) => major > FOLLOWED.0,
            _ => tag.starts_with("master"),
        }
    }

    /// Whether it is of the labs channel, which is a property of the image, not of the engine.
    pub(super) fn has_labs(&self) -> bool {
        self.tag().split('-').any(|word| word == "labs")
    }

    fn tag(&self) -> String {
        let image = self.image().map(ImageReference::parse);
        let image = image.and_then(Result::ok);
        image
            .and_then(|it| it.tag().map(str::to_owned))
            .unwrap_or_default()
    }
}
