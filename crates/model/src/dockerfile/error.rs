//! What is wrong with a Dockerfile, where, and what would cure it.

use std::fmt;

/// A Dockerfile that cannot be built, or options that do not fit it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileError {
    /// The line, counted from 1; 0 when the fault belongs to no line (an unknown target, say).
    pub line: u32,
    /// The column in characters, counted from 1; 0 when unknown.
    pub column: u32,
    /// The offending text; empty where nothing was written.
    pub value: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl std::error::Error for DockerfileError {}

impl fmt::Display for DockerfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => {}
            (line, 0) => write!(f, "line {line}: ")?,
            (line, column) => write!(f, "line {line}, column {column}: ")?,
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A fault before its place is known: what the rules of one instruction see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    value: String,
    message: String,
    hint: Option<String>,
}

impl Fault {
    pub(super) fn new(value: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// Shows another text than the one that is wrong.
    pub(super) fn about(self, value: &str) -> Self {
        let value = value.to_owned();
        Self { value, ..self }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Gives the fault its place: the first occurrence of the value in the instruction's lines.
    pub(super) fn at(self, source: &str, span: Span) -> DockerfileError {
        let (line, column) = span.locate(source, &self.value);
        DockerfileError {
            line,
            column,
            value: self.value,
            message: self.message,
            hint: self.hint,
        }
    }
}

/// The physical lines of an instruction, counted from 1, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
    /// Where the first line begins in the file, in bytes.
    pub offset: usize,
}

impl Span {
    pub(super) fn line(number: u32, offset: usize) -> Self {
        Self {
            start: number,
            end: number,
            offset,
        }
    }

    /// The line and column at which `needle` stands within these lines. Text that was put together
    /// from several pieces is found nowhere and gets the first line, column 1.
    pub(super) fn locate(self, source: &str, needle: &str) -> (u32, u32) {
        if self.start == 0 {
            return (0, 0);
        }
        let count = (self.end - self.start) as usize + 1;
        let lines = source[self.offset..].split('\n').take(count);
        for (number, line) in (self.start..).zip(lines) {
            if needle.is_empty() {
                break;
            }
            if let Some(offset) = line.find(needle) {
                return (number, line[..offset].chars().count() as u32 + 1);
            }
        }
        (self.start, 1)
    }
}
