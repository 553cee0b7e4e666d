//! The outcome: images with their uses, and the stages that the target reaches.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::{DockerfileError, Fault, Span};
use super::graph::{Graph, State};
use super::instruction::Instruction;
use super::options::NamedContext;
use super::{BuildOptions, Dockerfile, Platform, check};
use crate::reference::ImageReference;

/// What a build needs before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bases {
    /// Every external image, in the order of first use.
    pub images: Vec<BaseImage>,
    /// The stages of the file, in its order.
    pub stages: Vec<Stage>,
    /// The stage that is built.
    pub target: usize,
    /// The build arguments given that the reached stages use.
    pub build_args: BTreeMap<String, String>,
}

/// An image that is not built by this Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Its full reference, with `latest` where nothing is said.
    pub reference: ImageReference,
    /// The platform that is wanted of it.
    pub platform: Platform,
    /// Whether the target needs it.
    pub reached: bool,
    /// Where it is used.
    pub uses: Vec<ImageUse>,
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

/// A stage of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The name given by `AS`, or `stage-N`.
    pub label: String,
    /// The line of its `FROM`.
    pub line: u32,
    /// What it starts from.
    pub base: StageBase,
    /// `--platform`.
    pub platform: Option<Platform>,
    /// Whether the target needs it.
    pub reached: bool,
    /// The stages that it copies or mounts from.
    pub copies_from: Vec<usize>,
    /// Its instructions, triggers of its base stage first.
    pub steps: Vec<Step>,
}

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "value")]
pub enum StageBase {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An external image.
    Image(ImageReference),
    /// A named context that is no image.
    Context(NamedContext),
}

/// An instruction in its canonical form: formatting, comments and the order of flags are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The line, counted from 1.
    pub line: u32,
    /// The keyword in capitals.
    pub keyword: String,
    /// The canonical form, as JSON.
    pub text: String,
}

/// Works out the images of a build.
pub(super) fn of(file: &Dockerfile, options: &BuildOptions) -> Result<Bases, DockerfileError> {
    let graph = Graph::new(file, options)?;
    let mut collector = Collector {
        graph: &graph,
        images: Vec::new(),
        places: BTreeMap::new(),
    };
    collector.add_syntax()?;
    let mut stages = Vec::with_capacity(file.stages.len());
    for index in 0..graph.states.len() {
        let base = collector.add(index)?;
        if index < file.stages.len() {
            stages.push(stage(&graph, index, base));
        }
    }
    let images = collector.images;
    let used = check::run(&graph)?;
    let given = options.build_args.iter();
    Ok(Bases {
        images,
        stages,
        target: graph.target,
        build_args: given
            .filter(|(name, _)| used.contains(*name) || name.as_str() == "SOURCE_DATE_EPOCH")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    })
}

struct Collector<'g, 'a> {
    graph: &'g Graph<'a>,
    images: Vec<BaseImage>,
    places: BTreeMap<(ImageReference, Platform), usize>,
}

impl Collector<'_, '_> {
    /// The image of the front end; the build argument `BUILDKIT_SYNTAX` replaces it
    /// (dockerfile/builder/build.go `Build`).
    fn add_syntax(&mut self) -> Result<(), DockerfileError> {
        let (file, options) = (self.graph.file, self.graph.options);
        let given = options.build_args.get("BUILDKIT_SYNTAX").map(|value| {
            let image = value.trim().split(' ').next().unwrap_or_default();
            (image.to_owned(), Span::default())
        });
        let Some((image, span)) = given.or_else(|| file.syntax.clone()) else {
            return Ok(());
        };
        let reference = reference(&image).map_err(|fault| {
            let hint = "write an image such as docker/dockerfile:1";
            fault.hint(hint).at(&file.source, span)
        })?;
        let (line, column) = span.locate(&file.source, &image);
        let site = ImageUse {
            kind: UseKind::Syntax,
            stage: None,
            line,
            column,
            reached: true,
        };
        self.insert(reference, options.build_platform.clone(), site);
        Ok(())
    }

    /// Adds the image that a state starts from, if it starts from one (`resolveBaseImage`, which
    /// refuses a malformed name also where nothing reaches it).
    fn add(&mut self, index: usize) -> Result<StageBase, DockerfileError> {
        let (graph, state) = (self.graph, &self.graph.states[index]);
        let place = |fault: Fault| fault.at(&graph.file.source, state.span);
        if let Some(base) = state.base {
            return Ok(StageBase::Stage(base));
        }
        if state.base_name == "scratch" && state.context.is_none() {
            return Ok(StageBase::Scratch);
        }
        let own = reference(&state.base_name).map_err(place)?;
        let wanted = state.platform.as_ref().unwrap_or(graph.options.platform());
        let context = state
            .context
            .as_ref()
            .or_else(|| graph.options.context(&own.to_string(), wanted));
        let image = match context {
            None => own,
            Some(NamedContext::Image(name)) if name == "scratch" => {
                return Ok(StageBase::Scratch);
            }
            Some(NamedContext::Image(name)) => reference(name).map_err(place)?,
            Some(other) => return Ok(StageBase::Context(other.clone())),
        };
        let site = self.site(index, state);
        self.insert(image.clone(), wanted.clone(), site);
        Ok(StageBase::Image(image))
    }

    fn site(&self, index: usize, state: &State) -> ImageUse {
        let (owner, kind) = state.user.unwrap_or((index, UseKind::From));
        let source = &self.graph.file.source;
        let flagged = format!("from={}", state.base_text);
        let (line, column) = match state.span.locate(source, &flagged) {
            (line, column) if kind != UseKind::From && column > 1 => (line, column + 5),
            _ => state.span.locate(source, &state.base_text),
        };
        ImageUse {
            kind,
            stage: Some(self.graph.states[owner].label.clone()),
            line,
            column,
            reached: self.graph.reached.contains(&index),
        }
    }

    fn insert(&mut self, reference: ImageReference, platform: Platform, site: ImageUse) {
        let key = (reference.clone(), platform.clone());
        let at = *self.places.entry(key).or_insert_with(|| {
            self.images.push(BaseImage {
                reference,
                platform,
                reached: false,
                uses: Vec::new(),
            });
            self.images.len() - 1
        });
        self.images[at].reached |= site.reached;
        self.images[at].uses.push(site);
    }
}

fn reference(name: &str) -> Result<ImageReference, Fault> {
    match ImageReference::parse(name) {
        Ok(reference) => Ok(reference.or_latest()),
        Err(error) => Err(Fault::new(name, error.to_string())),
    }
}

fn stage(graph: &Graph<'_>, index: usize, base: StageBase) -> Stage {
    let state = &graph.states[index];
    let stages = graph.file.stages.len();
    let from: BTreeSet<usize> = state
        .deps
        .iter()
        .copied()
        .filter(|&dep| dep < stages)
        .collect();
    Stage {
        label: state.label.clone(),
        line: state.span.start,
        base,
        platform: state.platform.clone(),
        reached: graph.reached.contains(&index),
        copies_from: from.into_iter().collect(),
        steps: state
            .steps
            .iter()
            .map(|step| canonical(&step.instruction))
            .collect(),
    }
}

fn canonical(instruction: &Instruction) -> Step {
    let text = serde_json::to_string(&instruction.kind)
        .expect("instructions are made of texts, numbers and lists, which JSON can hold");
    Step {
        line: instruction.span.start,
        keyword: instruction.kind.keyword().to_owned(),
        text,
    }
}
