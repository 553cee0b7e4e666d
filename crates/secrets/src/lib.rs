//! Keys, tokens and passwords in what an image tells about itself: the steps of its history and its
//! build arguments, which everybody reads who may pull it.
//!
//! `tokens` is the table of forms that vendors gave their tokens, `shapes` that of places where
//! secrets stand; both are made of what `rule` defines, and `search` looks for both. `name` and `value`
//! say what counts where the form alone does not, `step` reads the lines of `docker history`.
//!
//! A false alarm is as bad as a miss, because a check that cries is switched off: examples,
//! references, paths, digests and words are none. The texts are somebody else's, so all patterns
//! take linear time, and no message repeats a secret or a letter that a terminal would obey.

mod checksum;
mod name;
mod rule;
mod search;
mod shapes;
mod step;
#[cfg(test)]
mod tests;
mod tokens;
mod value;

use std::fmt;
use std::ops::Range;

pub use rule::Rule;

use crate::name::is_sensitive;
use crate::rule::Hit;
use crate::search::hits;
use crate::step::{COPIED, copied_credentials, pieces};
use crate::value::is_secret_value;

/// Most letters of a secret's public beginning that are shown.
const START_MAX_CHARS: usize = 32;
/// Letters in a row that nothing shown may share with a secret.
const SHARED_MAX_BYTES: usize = 4;

/// A secret that was found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What kind it is.
    pub rule: &'static Rule,
    /// What may be shown of it: its public beginning, if it has one, and its length.
    pub shown: String,
    /// What carries it.
    pub carrier: Carrier,
    /// Where it is, in bytes of the text that was scanned.
    pub span: Range<usize>,
}

/// What carries a secret into an image. Names have letters, digits and `_.-/` only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// A build argument, by its name.
    BuildArgument(String),
    /// A variable that `ENV` sets, by its name.
    Variable(String),
    /// A label, by its name.
    Label(String),
    /// A file that was copied, by the end of its path.
    File(&'static str),
    /// The text itself: a command.
    Text,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuildArgument(name) => write!(f, "the build argument {name}"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Label(name) => write!(f, "the label {name}"),
            Self::File(name) => write!(f, "the copied file {name}"),
            Self::Text => f.write_str("the command"),
        }
    }
}

/// `an npm access token in the build argument NPM_TOKEN: npm_… (40 characters)`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.rule.what, self.carrier, self.shown)
    }
}

impl Finding {
    fn new(text: &str, hit: &Hit, carrier: Carrier) -> Self {
        let span = hit.span();
        let secret = &text[hit.start.end..hit.end];
        Self {
            rule: hit.rule,
            shown: shown(&text[hit.start.clone()], &text[span.clone()], secret),
            carrier: carrier.without(secret),
            span,
        }
    }

    /// What to do instead, in one sentence.
    pub fn cure(&self) -> String {
        match &self.carrier {
            Carrier::BuildArgument(name) => use_mount(name, &format!("env={name}")),
            Carrier::Variable(name) => format!(
                "give it to the container (`docker run --env {name}`); for a build step {}",
                use_mount(name, &format!("env={name}"))
            ),
            Carrier::Label(name) => format!("leave the label {name} out"),
            Carrier::File(path) => {
                let id = path
                    .rsplit('/')
                    .next()
                    .unwrap_or(path)
                    .trim_start_matches('.');
                format!(
                    "name it in .dockerignore; where a step needs it {}",
                    use_mount(id, "src=PATH")
                )
            }
            Carrier::Text => use_mount("NAME", "src=PATH"),
        }
    }
}

fn use_mount(id: &str, given: &str) -> String {
    format!(
        "use `RUN --mount=type=secret,id={id}` and read /run/secrets/{id}, \
         given by `docker build --secret id={id},{given}`"
    )
}

impl Carrier {
    /// Itself, unless its own name repeats the secret.
    fn without(self, secret: &str) -> Self {
        match &self {
            Self::BuildArgument(name) | Self::Variable(name) | Self::Label(name)
                if shares(name, secret) =>
            {
                Self::Text
            }
            _ => self,
        }
    }
}

/// The secrets in a step, as `docker history` and an image's configuration tell it in `created_by`.
pub fn scan_step(created_by: &str) -> Vec<Finding> {
    let pieces = pieces(created_by);
    let hits = hits(created_by);
    let found = hits.iter().map(|hit| {
        let mut around = pieces.iter();
        let piece = around.find(|piece| piece.span.contains(&hit.start.start));
        let carrier = piece.map_or(Carrier::Text, |piece| piece.carrier.clone());
        Finding::new(created_by, hit, carrier)
    });
    let copied = copied_credentials(created_by).into_iter();
    let copied = copied.map(|(file, span)| Finding {
        rule: &COPIED,
        shown: file.to_owned(),
        carrier: Carrier::File(file),
        span,
    });
    found.chain(copied).collect()
}

/// The secrets among build arguments, names with values. A span is one of the value.
pub fn scan_build_args<'a>(
    arguments: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<Finding> {
    let scanned = arguments.into_iter().flat_map(|(name, value)| {
        let carrier = Carrier::BuildArgument(printable(name));
        let mut found = hits(value);
        if found.is_empty() && is_sensitive(name) && is_secret_value(name, value) {
            found.push(Hit::named(value));
        }
        found
            .into_iter()
            .map(move |hit| Finding::new(value, &hit, carrier.clone()))
    });
    scanned.collect()
}

/// A name with the letters that names have.
fn printable(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "_.-/".contains(*c))
        .take(64)
        .collect()
}

/// The public beginning of a secret, and how long all of it is.
fn shown(start: &str, whole: &str, secret: &str) -> String {
    let length = whole.chars().count();
    let start: String = start.chars().take(START_MAX_CHARS).collect();
    let start = if shares(&start, secret) { "" } else { &start };
    format!("{start}… ({length} characters)")
}

/// Whether a text that is shown would tell a part of a secret.
fn shares(shown: &str, secret: &str) -> bool {
    let parts = shown.as_bytes().windows(SHARED_MAX_BYTES + 1);
    let secret = secret.as_bytes();
    parts
        .into_iter()
        .any(|part| secret.windows(part.len()).any(|other| other == part))
}
