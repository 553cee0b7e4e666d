//! Files for front ends whose rules are not known here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::options::{BuildOptions, NamedContext};
use super::origin::{self, ImageUse, Origin, UseKind, WantedImage};
use super::outcome::{BaseImage, Bases, Stage, Step};
use crate::dockerfile::error::{DockerfileError, Fault, Span};
use crate::dockerfile::front_end::FrontEnd;
use crate::fingerprint::Fingerprint;

/// A file for a front end whose rules are not known here. Its bytes are all that is known of the build,
/// beside the options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadFile {
    front_end: FrontEnd,
    source: String,
    content: Fingerprint,
}

/// What its one stage does.
#[derive(Serialize)]
struct Content<'a> {
    #[serde(rename = "FILE")]
    content: Fingerprint,
    target: Option<&'a str>,
}

impl UnreadFile {
    /// A file that is for this front end.
    pub fn new(text: &[u8], front_end: FrontEnd) -> Self {
        Self {
            front_end,
            source: String::from_utf8_lossy(text).into_owned(),
            content: Fingerprint::of(text),
        }
    }

    /// The image that reads it.
    pub fn front_end(&self) -> &str {
        self.front_end.image().unwrap_or_default()
    }

    /// What is known: the front end's image, and one stage that depends on the file's bytes and on every
    /// argument and context that is given.
    pub fn bases(&self, options: &BuildOptions) -> Result<Bases, DockerfileError> {
        let target = options.target.as_deref().filter(|name| !name.is_empty());
        let label = target.unwrap_or("default").to_owned();
        let mut images = Vec::new();
        if let Some((reference, site)) = origin::front_end(&self.front_end, &self.source)? {
            images.push(BaseImage {
                reference,
                platform: options.build_platform.clone(),
                reached: true,
                uses: vec![site],
            });
        }
        let mut sources = Vec::new();
        for context in options.contexts.values() {
            let origin = of_context(context, options)
                .map_err(|fault| fault.at(&self.source, Span::default()))?;
            if let Origin::Image(image) = &origin {
                images.push(BaseImage {
                    reference: image.reference.clone(),
                    platform: image.platform.clone(),
                    reached: true,
                    uses: vec![ImageUse {
                        kind: UseKind::From,
                        stage: Some(label.clone()),
                        line: 1,
                        column: 1,
                        reached: true,
                    }],
                });
            }
            sources.push(origin);
        }
        let step = Step {
            line: 1,
            keyword: "FILE".to_owned(),
            text: self.content(target),
            sources,
            context_paths: vec![".".to_owned()],
        };
        let given = options.build_args.iter();
        let arguments: BTreeMap<String, Fingerprint> = given
            .map(|(name, value)| (name.clone(), Fingerprint::of_argument(name, value)))
            .collect();
        Ok(Bases {
            images,
            stages: vec![Stage {
                label,
                line: 1,
                base: Origin::Scratch,
                arguments: arguments.clone(),
                steps: vec![step],
            }],
            reached: BTreeSet::from([0]),
            target: 0,
            build_args: arguments,
            contexts: options.contexts.clone(),
            sandbox: options.sandbox.of_any_front_end(&options.build_args),
        })
    }

    fn content(&self, target: Option<&str>) -> String {
        let content = Content {
            content: self.content,
            target,
        };
        serde_json::to_string(&content).expect("it is made of texts, which JSON can hold")
    }
}

fn of_context(context: &NamedContext, options: &BuildOptions) -> Result<Origin, Fault> {
    Ok(match context {
        NamedContext::Image(image) if image == "scratch" => Origin::Scratch,
        NamedContext::Image(image) => Origin::Image(WantedImage {
            reference: origin::parse_image(image, image)?,
            platform: options.platform().clone(),
        }),
        other => Origin::Context(other.clone()),
    })
}
