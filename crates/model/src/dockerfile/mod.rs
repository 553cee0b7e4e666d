//! The Dockerfile front end: text to the images that a build needs, before it runs.
//!
//! What is accepted, what is refused, and which images are named are `BuildKit`'s decisions
//! (its `frontend/dockerfile`, version 0.32, stable channel), since a build will be run by it. Each
//! file here cites the one whose rules it follows:
//!
//! ```text
//! bytes -> lexer (directive, heredoc) -> node (words) -> parse (flag, mount, scalar)
//!       -> Dockerfile -> arguments, graph (expand, pattern, options, platform) -> check -> bases
//! ```
//!
//! Where `BuildKit` would look into a base image's configuration (its variables, its `ONBUILD`
//! instructions), nothing is known here: a rule that depends on it is not held against the file.

mod arguments;
mod bases;
mod canonical;
mod check;
mod directive;
mod error;
mod expand;
mod flag;
mod graph;
mod heredoc;
mod instruction;
mod lexer;
mod mount;
mod node;
mod options;
mod parse;
mod pattern;
mod platform;
mod port;
mod scalar;
mod source;
mod words;

pub use bases::{BaseImage, Bases, ImageUse, Origin, Stage, Step, UseKind};
pub use error::DockerfileError;
pub use lexer::Warning;
pub use options::{BuildOptions, ImageConfigs, NamedContext};
pub use platform::{Platform, PlatformError};

use error::{Fault, Span};
use instruction::{Arg, From, Instruction, Kind};

/// A Dockerfile that follows the rules of every instruction.
///
/// Whether it can be built also depends on the options; [`Dockerfile::bases`] says so.
#[derive(Debug)]
pub struct Dockerfile {
    source: String,
    escape: char,
    syntax: Option<(String, Span)>,
    globals: Vec<(Vec<Arg>, Span)>,
    stages: Vec<Section>,
    warnings: Vec<Warning>,
}

/// A `FROM` and what follows it.
#[derive(Debug)]
struct Section {
    from: From,
    span: Span,
    instructions: Vec<Instruction>,
}

/// Reads a Dockerfile.
///
/// # Examples
///
/// ```
/// use larder_model::dockerfile::{parse, BuildOptions};
///
/// let file = parse(b"ARG V=3.3\nFROM ruby:$V\nCOPY --from=busybox:1 /bin/sh /sh\n")?;
/// let bases = file.bases(&BuildOptions::default())?;
/// let names: Vec<String> = bases.images.iter().map(|image| image.reference.to_string()).collect();
/// assert_eq!(names, ["docker.io/library/ruby:3.3", "docker.io/library/busybox:1"]);
/// # Ok::<(), larder_model::dockerfile::DockerfileError>(())
/// ```
pub fn parse(bytes: &[u8]) -> Result<Dockerfile, DockerfileError> {
    let source = lexer::decode(bytes).into_owned();
    if source.is_empty() {
        let fault = Fault::new("", "the Dockerfile cannot be empty").hint("start with FROM");
        return Err(fault.at(&source, Span::default()));
    }
    // Its byte order mark is no UTF-8, and no instruction starts with one: it is refused anyway.
    if source.starts_with("\u{fffd}\u{fffd}") && source.contains('\0') {
        let fault = Fault::new("", "the Dockerfile is UTF-16 text").hint("save it as UTF-8");
        return Err(fault.at(&source, Span::line(1, 0)));
    }
    if let Some((value, span)) = directive::detect_check(&source) {
        directive::validate_check(value).map_err(|fault| fault.at(&source, span))?;
    }
    let lexed = lexer::lex(&source)?;
    let mut file = Dockerfile {
        escape: lexed.escape,
        syntax: directive::detect_syntax(&source),
        globals: Vec::new(),
        stages: Vec::new(),
        warnings: lexed.warnings,
        source,
    };
    for node in lexed.nodes {
        let span = node.span;
        let instruction = parse::instruction(node).map_err(|fault| fault.at(&file.source, span))?;
        file.add(instruction)?;
    }
    if file.stages.is_empty() {
        let fault = Fault::new("", "dockerfile contains no stages to build").hint("add a FROM");
        return Err(fault.at(&file.source, Span::default()));
    }
    Ok(file)
}

impl Dockerfile {
    fn add(&mut self, instruction: Instruction) -> Result<(), DockerfileError> {
        let span = instruction.span;
        match (instruction.kind, self.stages.last_mut()) {
            (Kind::From(from), _) => self.stages.push(Section {
                from,
                span,
                instructions: Vec::new(),
            }),
            (Kind::Arg(args), None) => self.globals.push((args, span)),
            (kind, Some(section)) => section.instructions.push(Instruction { kind, span }),
            (kind, None) => {
                let keyword = kind.keyword();
                return Err(Fault::new(keyword, "no build stage in current context")
                    .hint(format!("{keyword} must come after a FROM"))
                    .at(&self.source, span));
            }
        }
        Ok(())
    }

    /// The text that it was read from; what was not UTF-8 is replaced.
    pub fn text(&self) -> &str {
        &self.source
    }

    /// What is accepted today, but odd.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The images that a build with these options needs, and the stages that it runs.
    pub fn bases(&self, options: &BuildOptions) -> Result<Bases, DockerfileError> {
        bases::of(self, options)
    }
}
