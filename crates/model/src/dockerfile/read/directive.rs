//! Parser directives: `# syntax=`, `# escape=` and `# check=` at the very top of a Dockerfile
//! (`BuildKit`'s `frontend/dockerfile/parser/directives.go`).

use crate::dockerfile::error::{Fault, Span};
use crate::go;

/// A directive line taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    pub name: &'static str,
    pub value: &'a str,
}

/// The directives that exist. Any other name ends the search for directives.
const NAMES: [&str; 3] = ["syntax", "escape", "check"];

/// Go's regular expressions know only these as `\s`.
const SPACE: [char; 5] = ['\t', '\n', '\x0c', '\r', ' '];

/// Reads directives line by line until the first line that is none (`DirectiveParser.ParseLine`).
#[derive(Debug)]
pub(super) struct Directives {
    comment: &'static str,
    seen: Vec<&'static str>,
    done: bool,
}

impl Directives {
    pub(super) fn new(comment: &'static str) -> Self {
        Self {
            comment,
            seen: Vec::new(),
            done: false,
        }
    }

    /// The directive on `line`, if it is one and directives may still come.
    pub(super) fn read<'a>(&mut self, line: &'a str) -> Result<Option<Directive<'a>>, Fault> {
        if self.done {
            return Ok(None);
        }
        let Some(directive) = self.split(line) else {
            self.done = true;
            return Ok(None);
        };
        if self.seen.contains(&directive.name) {
            let name = directive.name;
            let message = format!("only one {name} parser directive can be used");
            return Err(Fault::new(line, message));
        }
        self.seen.push(directive.name);
        Ok(Some(directive))
    }

    fn split<'a>(&self, line: &'a str) -> Option<Directive<'a>> {
        let (name, value) = line.strip_prefix(self.comment)?.split_once('=')?;
        let name = name.trim_matches(SPACE);
        let mut names = NAMES.into_iter();
        let name = names.find(|known| known.eq_ignore_ascii_case(name))?;
        let trimmed = value.trim_matches(SPACE);
        // A value must have one character; one blank will do if there is nothing else.
        let last = value.char_indices().last()?.0;
        let value = if trimmed.is_empty() {
            &value[last..]
        } else {
            trimmed
        };
        Some(Directive { name, value })
    }
}

/// The front end that a file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Syntax {
    /// Its image.
    pub image: String,
    pub span: Span,
    /// It stands behind `#`, which begins a comment of a Dockerfile.
    pub in_comment: bool,
}

/// The front end that the file asks for. Besides `# syntax=` this reads `// syntax=`, a JSON object's
/// `"syntax"`, and skips a first line that is a shebang (`DetectSyntax`).
pub(crate) fn detect_syntax(source: &str) -> Option<Syntax> {
    let head = Head::new(source);
    let mut forms = ["#", "//"].into_iter();
    let directive = forms.find_map(|form| {
        let (value, span) = head.find_directive(form, "syntax")?;
        Some(Syntax {
            image: value.split(' ').next().unwrap_or_default().to_owned(),
            span,
            in_comment: form == "#",
        })
    });
    directive.or_else(|| head.json_syntax())
}

/// The value of the `check` directive (`ParseDirective`, which knows no other comment form).
pub(super) fn detect_check(source: &str) -> Option<(&str, Span)> {
    Head::new(source).find_directive("#", "check")
}

/// A file without its byte order mark and its shebang.
struct Head<'a> {
    text: &'a str,
    /// The number of its first line.
    first: u32,
    /// Where it begins in the file, in bytes.
    offset: usize,
}

impl<'a> Head<'a> {
    fn new(source: &'a str) -> Self {
        let text = source.strip_prefix('\u{feff}').unwrap_or(source);
        let (text, first) = if text.starts_with("#!") {
            (text.split_once('\n').map_or("", |(_, rest)| rest), 2)
        } else {
            (text, 1)
        };
        Self {
            text,
            first,
            offset: source.len() - text.len(),
        }
    }

    fn find_directive(&self, comment: &'static str, name: &str) -> Option<(&'a str, Span)> {
        let mut directives = Directives::new(comment);
        let mut offset = self.offset;
        for (number, line) in (self.first..).zip(self.text.split_inclusive('\n')) {
            // A repeated directive ends the search without an error; the parser reports it later.
            let directive = directives
                .read(line.trim_end_matches(['\r', '\n']))
                .ok()??;
            if directive.name == name {
                return Some((directive.value, Span::line(number, offset)));
            }
            offset += line.len();
        }
        None
    }

    fn json_syntax(&self) -> Option<Syntax> {
        if !self.text.trim_start().starts_with('{') {
            return None;
        }
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(self.text).ok()?;
        let mut named = object.iter();
        // Go finds the key in any case.
        let (_, image) = named.rfind(|(key, _)| go::equal_fold(key, "syntax"))?;
        let image = image.as_str().filter(|image| !image.is_empty())?;
        Some(Syntax {
            image: image.to_owned(),
            span: Span::line(self.first, self.offset),
            in_comment: false,
        })
    }
}

/// Refuses `# check=` values that the linter refuses (`linter.ParseLintOptions`).
pub(crate) fn validate_check(value: &str) -> Result<(), Fault> {
    let value = value.trim();
    if value.is_empty() {
        return Ok(());
    }
    for part in value.splitn(3, ';') {
        if !is_check_option(part) {
            return Err(Fault::new(part, format!("invalid check option {part:?}"))
                .hint("use skip=RULE,…, experimental=RULE,… or error=true, separated by ;"));
        }
    }
    Ok(())
}

fn is_check_option(text: &str) -> bool {
    let Some((key, setting)) = text.split_once('=') else {
        return false;
    };
    match key.trim() {
        "skip" | "experimental" => true,
        "error" => go::parse_bool(setting.trim()).is_some(),
        _ => false,
    }
}
