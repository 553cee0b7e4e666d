//! What is wrong with a build's files, with its place.

use std::path::Path;

use larder_local::people::Blame;
use larder_model::dockerfile::DockerfileError;
use serde::Serialize;

/// A file or an option that no plan can be made of. As JSON it is the `error` of `larder plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Who can mend it.
    #[serde(skip)]
    pub blame: Blame,
    /// What is wrong, with the cure.
    pub message: String,
    /// The file; nothing if an option is at fault.
    pub file: Option<String>,
    /// The line, counted from 1.
    pub line: Option<u32>,
    /// The column, counted from 1.
    pub column: Option<u32>,
    /// The text at fault.
    pub value: Option<String>,
}

impl Fault {
    pub(crate) fn of(blame: Blame, message: impl Into<String>) -> Self {
        Self {
            blame,
            message: message.into(),
            file: None,
            line: None,
            column: None,
            value: None,
        }
    }

    /// A fault of an option.
    pub fn option(message: impl Into<String>) -> Self {
        Self::of(Blame::Input, message)
    }

    /// A fault of a file as a whole.
    pub(crate) fn file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: Some(file.display().to_string()),
            ..Self::option(message)
        }
    }

    /// The same without a word of the file.
    pub(crate) fn without_text(self) -> Self {
        let message =
            "it cannot be planned; it is outside of the checkout, so no more is shown of it"
                .to_owned();
        Self {
            message,
            column: None,
            value: None,
            ..self
        }
    }

    /// What the front end found in a Dockerfile.
    pub(crate) fn dockerfile(file: &str, error: DockerfileError) -> Self {
        let hint = error.hint.map(|hint| format!(" ({hint})"));
        let message = shortened(format!("{}{}", error.message, hint.unwrap_or_default()));
        Self {
            line: Some(error.line).filter(|line| *line > 0),
            column: Some(error.column).filter(|column| *column > 0),
            value: Some(error.value)
                .filter(|value| !value.is_empty())
                .map(shortened),
            ..Self::file(Path::new(file), message)
        }
    }
}

/// A word may have megabytes; what is wrong with it is said at the end.
pub(crate) fn shortened(text: String) -> String {
    /// Characters kept of each end.
    const END: usize = 300;
    let mut starts = text.char_indices().map(|(at, _)| at);
    match (starts.nth(END), starts.nth_back(END - 1)) {
        (Some(head), Some(tail)) => format!("{} … {}", &text[..head], &text[tail..]),
        _ => text,
    }
}

impl std::error::Error for Fault {}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (Some(line), None) => write!(f, "line {line}: ")?,
            _ => {}
        }
        f.write_str(&self.message)?;
        match &self.value {
            Some(value) if !self.message.contains(value.as_str()) => write!(f, ": {value:?}"),
            _ => Ok(()),
        }
    }
}
