//! Bytes to logical lines: directives, comments, continuations and here-documents
//! (`Parse` in `BuildKit`'s `frontend/dockerfile/parser/parser.go`).

use std::borrow::Cow;

use super::directive::Directives;
use super::heredoc::{self, Heredoc};
use super::node::Node;
use crate::dockerfile::error::{DockerfileError, Fault, Span};

/// The longest physical line in bytes, its line feed included (Go's `bufio.MaxScanTokenSize`).
const MAX_LINE_BYTES: usize = 64 * 1024;

/// What the lexer made of a file.
#[derive(Debug)]
pub(crate) struct Lexed {
    pub nodes: Vec<Node>,
    pub escape: char,
}

/// Physical lines with their ends, counted; stops for good at a line that is too long.
struct Lines<'a> {
    rest: &'a str,
    number: u32,
    too_long: bool,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() || self.too_long {
            return None;
        }
        let (line, limit) = match self.rest.find('\n') {
            Some(end) => (&self.rest[..=end], MAX_LINE_BYTES),
            // Without its line feed the scanner cannot tell a full buffer from a longer line.
            None => (self.rest, MAX_LINE_BYTES - 1),
        };
        if line.len() > limit {
            self.too_long = true;
            return None;
        }
        self.rest = &self.rest[line.len()..];
        self.number += 1;
        Some(line)
    }

    /// How much of the file was read, in bytes.
    fn offset(&self, source: &str) -> usize {
        source.len() - self.rest.len()
    }
}

struct Lexer<'a> {
    source: &'a str,
    lines: Lines<'a>,
    directives: Directives,
    escape: char,
}

pub(crate) fn lex(source: &str) -> Result<Lexed, DockerfileError> {
    let mut lexer = Lexer {
        source,
        lines: Lines {
            rest: source,
            number: 0,
            too_long: false,
        },
        directives: Directives::new("#"),
        escape: '\\',
    };
    let mut nodes = Vec::new();
    while let Some(node) = lexer.node()? {
        nodes.push(node);
    }
    if lexer.lines.too_long {
        let limit = MAX_LINE_BYTES - 1;
        let message = format!("dockerfile line greater than max allowed size of {limit}");
        let line = lexer.lines.number + 1;
        let fault = Fault::new("", message).hint("break the line with the escape character");
        return Err(fault.at(source, Span::line(line, lexer.lines.offset(source))));
    }
    if nodes.is_empty() {
        return Err(Fault::new("", "file with no instructions")
            .hint("a Dockerfile needs at least one FROM")
            .at(source, Span::line(1, 0)));
    }
    Ok(Lexed {
        nodes,
        escape: lexer.escape,
    })
}

impl<'a> Lexer<'a> {
    /// The next instruction with its here-documents, or `None` at the end.
    fn node(&mut self) -> Result<Option<Node>, DockerfileError> {
        let Some((line, span)) = self.logical_line()? else {
            return Ok(None);
        };
        let mut node =
            Node::parse(&line, self.escape).map_err(|fault| fault.at(self.source, span))?;
        node.span = span;
        if line.contains("<<") && node.may_hold_heredocs() {
            let docs = heredoc::in_line(&line).map_err(|fault| fault.at(self.source, span))?;
            for doc in docs {
                let doc = self.body(doc, span)?;
                node.heredocs.push(doc);
            }
            node.span.end = self.lines.number;
        }
        if node.trigger.is_some() {
            node.original = line.into_owned();
        }
        Ok(Some(node))
    }

    /// Joins continued lines, without comments and empty lines in between.
    fn logical_line(&mut self) -> Result<Option<(Cow<'a, str>, Span)>, DockerfileError> {
        while let Some(line) = self.lines.next() {
            let start = self.lines.number;
            let offset = self.lines.offset(self.source) - line.len();
            let line = match start {
                1 => line.strip_prefix('\u{feff}').unwrap_or(line),
                _ => line,
            };
            let line = line.trim_end_matches(['\r', '\n']).trim_start();
            self.directive(line, offset)?;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let text = match continued(line, self.escape) {
                None => Cow::Borrowed(line),
                Some(head) => Cow::Owned(self.continuation(head.to_owned())),
            };
            let span = Span {
                start,
                end: self.lines.number,
                offset,
            };
            return Ok(Some((text, span)));
        }
        Ok(None)
    }

    fn continuation(&mut self, mut text: String) -> String {
        while let Some(line) = self.lines.next() {
            let line = line.trim_end_matches(['\r', '\n']);
            let visible = line.trim_start();
            if visible.is_empty() || visible.starts_with('#') {
                continue;
            }
            if let Some(head) = continued(line, self.escape) {
                text.push_str(head);
            } else {
                text.push_str(line);
                break;
            }
        }
        text
    }

    fn directive(&mut self, line: &str, offset: usize) -> Result<(), DockerfileError> {
        let span = Span::line(self.lines.number, offset);
        let directive = self.directives.read(line);
        match directive.map_err(|fault| fault.at(self.source, span))? {
            Some(found) if found.name == "escape" => match found.value {
                "\\" => self.escape = '\\',
                "`" => self.escape = '`',
                other => {
                    let message = format!("invalid escape token '{other}' does not match ` or \\");
                    return Err(Fault::new(other, message).at(self.source, span));
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn body(&mut self, mut doc: Heredoc, span: Span) -> Result<Heredoc, DockerfileError> {
        let from = self.lines.rest;
        loop {
            let before = self.lines.rest;
            let Some(line) = self.lines.next() else {
                return Err(Fault::new(doc.name.clone(), "unterminated heredoc")
                    .hint(format!("put {} on a line of its own", doc.name))
                    .at(self.source, span));
            };
            let mut end = line.trim_end_matches(['\r', '\n']);
            if doc.chomp {
                end = end.trim_start_matches('\t');
            }
            if end == doc.name {
                from[..from.len() - before.len()].clone_into(&mut doc.content);
                return Ok(doc);
            }
        }
    }
}

/// The text before the continuation mark, if `line` ends in one: the escape character, perhaps
/// followed by blanks, and not itself preceded by the escape character.
fn continued(line: &str, escape: char) -> Option<&str> {
    let head = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!head.ends_with(escape)).then_some(head)
}
