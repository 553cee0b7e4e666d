//! Reading: text to instructions that follow the rules of each, before any variable is replaced.

pub(super) mod directive;
mod flag;
mod heredoc;
pub(super) mod instruction;
pub(super) mod lexer;
pub(super) mod mount;
mod node;
pub(super) mod parse;
pub(super) mod port;
pub(super) mod scalar;
pub(super) mod source;
mod words;

use super::error::{DockerfileError, Fault, Span};
use directive::Syntax;
use instruction::{Arg, From, Instruction, Kind};

/// A Dockerfile that follows the rules of every instruction.
///
/// Whether it can be built also depends on the options; [`Dockerfile::bases`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    pub(super) source: String,
    pub(super) escape: char,
    pub(super) syntax: Option<Syntax>,
    /// The `check` directive.
    pub(super) check: Option<(String, Span)>,
    /// The `ARG` instructions before the first `FROM`.
    pub(super) globals: Vec<(Vec<Arg>, Span)>,
    pub(super) stages: Vec<Section>,
}

/// A `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) from: From,
    pub(super) span: Span,
    pub(super) instructions: Vec<Instruction>,
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
    let mut file = parse_text(String::from_utf8_lossy(bytes).into_owned())?;
    if std::str::from_utf8(bytes).is_err() {
        file.note_raw_bytes(bytes);
    }
    Ok(file)
}

fn parse_text(source: String) -> Result<Dockerfile, DockerfileError> {
    if source.is_empty() {
        let fault = Fault::new("", "the Dockerfile cannot be empty").hint("start with FROM");
        return Err(fault.at(&source, Span::default()));
    }
    // Its byte order mark is no UTF-8, and no instruction starts with one: it is refused anyway.
    if source.starts_with("\u{fffd}\u{fffd}") && source.contains('\0') {
        let fault = Fault::new("", "the Dockerfile is UTF-16 text").hint("save it as UTF-8");
        return Err(fault.at(&source, Span::line(1, 0)));
    }
    let lexed = lexer::lex(&source)?;
    let mut file = Dockerfile {
        escape: lexed.escape,
        syntax: directive::detect_syntax(&source),
        check: directive::detect_check(&source).map(|(value, span)| (value.to_owned(), span)),
        globals: Vec::new(),
        stages: Vec::new(),
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

/// The text with another sign than `from_utf8_lossy` has where bytes are no UTF-8.
fn with_another_sign(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push('\u{fffe}');
        }
    }
    text
}

impl Dockerfile {
    /// Notes the commands that hold bytes which are no UTF-8: those that another sign in their place changes.
    /// A command in JSON form does not, since Go's decoder replaces them.
    fn note_raw_bytes(&mut self, bytes: &[u8]) {
        let Ok(other) = parse_text(with_another_sign(bytes)) else {
            return;
        };
        let sections = self.stages.iter_mut();
        let own = sections.flat_map(|section| &mut section.instructions);
        let others = other
            .stages
            .iter()
            .flat_map(|section| &section.instructions);
        for (own, other) in own.zip(others) {
            if let (Kind::Run(own), Kind::Run(other)) = (&mut own.kind, &other.kind) {
                let differs = own.command != other.command || own.heredocs != other.heredocs;
                own.has_raw_bytes = differs && !own.command.exec;
            }
        }
    }

    fn add(&mut self, instruction: Instruction) -> Result<(), DockerfileError> {
        let Instruction { keyword, span, .. } = instruction;
        match (instruction.kind, self.stages.last_mut()) {
            (Kind::From(from), _) => self.stages.push(Section {
                from,
                span,
                instructions: Vec::new(),
            }),
            (Kind::Arg(args), None) => self.globals.push((args, span)),
            (kind, Some(section)) => section.instructions.push(Instruction {
                keyword,
                kind,
                span,
            }),
            (_, None) => {
                return Err(Fault::new(keyword, "no build stage in current context")
                    .hint(format!("{keyword} must come after a FROM"))
                    .at(&self.source, span));
            }
        }
        Ok(())
    }
}
