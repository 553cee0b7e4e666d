//! What a rule is, and when what its pattern found is a secret.

use std::ops::Range;

use regex::{Captures, Regex};

use crate::checksum::agrees;
use crate::name::is_sensitive;
use crate::value::{is_password, is_random, is_secret_value};

/// A token begins where a word begins.
const WORD: &str = r"(?-u:\b)";

/// One kind of secret: how it is recognised, and what it is called.
#[derive(Debug)]
pub struct Rule {
    /// Its short name, for settings and reports: `npm-token`.
    pub id: &'static str,
    /// What it is, with its article: `an npm access token`.
    pub what: &'static str,
    /// Where the format is written down: by its vendor, or in the standard or manual of a program. Of a
    /// vendor that only hands it to scanners, the list in which that is said.
    pub source: &'static str,
    /// Pattern of what stands before the secret and is no part of it.
    before: &'static str,
    /// Pattern of the secret's public beginning, which may be shown.
    start: &'static str,
    /// Pattern of the rest.
    rest: &'static str,
    /// Pattern of what stands behind the secret.
    after: &'static str,
    check: Check,
}

/// What must hold of a text that fits the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// The pattern alone says enough.
    None,
    /// The rest was drawn at random: no example, no sequence.
    Random,
    /// As `Random`, and 36 letters and digits end with their checksum.
    Checksum,
    /// It stands where a password must, so ordinary words count too.
    Password,
    /// It was given to a name (the group `name`) that is a secret's.
    Named,
}

impl Rule {
    /// A token with a beginning that tells its vendor.
    pub(super) const fn token(
        id: &'static str,
        what: &'static str,
        start: &'static str,
        rest: &'static str,
        source: &'static str,
    ) -> Self {
        Self {
            id,
            what,
            source,
            before: WORD,
            start,
            rest,
            after: "",
            check: Check::Random,
        }
    }

    /// A secret that is recognised by what stands before it.
    pub(super) const fn behind(
        id: &'static str,
        what: &'static str,
        before: &'static str,
        rest: &'static str,
        source: &'static str,
    ) -> Self {
        Self {
            before,
            check: Check::Password,
            ..Self::token(id, what, "", rest, source)
        }
    }

    pub(super) const fn preceded_by(self, before: &'static str) -> Self {
        Self { before, ..self }
    }

    pub(super) const fn followed_by(self, after: &'static str) -> Self {
        Self { after, ..self }
    }

    pub(super) const fn with_checksum(self) -> Self {
        self.checked(Check::Checksum)
    }

    pub(super) const fn at_random(self) -> Self {
        self.checked(Check::Random)
    }

    pub(super) const fn by_name(self) -> Self {
        self.checked(Check::Named)
    }

    pub(super) const fn unchecked(self) -> Self {
        self.checked(Check::None)
    }

    const fn checked(self, check: Check) -> Self {
        Self { check, ..self }
    }

    /// The piece of the pattern that tells most. A text without it cannot hold the secret.
    pub(super) fn hint(&self) -> &'static str {
        if !self.start.is_empty() {
            self.start
        } else if self.before == WORD {
            self.rest
        } else {
            self.before
        }
    }

    pub(super) fn pattern(&self) -> Regex {
        let Self {
            before,
            start,
            rest,
            after,
            ..
        } = self;
        Regex::new(&format!("{before}(?<start>{start})(?<rest>{rest}){after}"))
            .expect("the patterns of the tables are well formed")
    }

    fn holds(&self, groups: &Captures, rest: &str) -> bool {
        match self.check {
            Check::None => true,
            Check::Random => is_random(rest),
            Check::Checksum => is_random(rest) && agrees(rest).unwrap_or(true),
            Check::Password => is_password(rest),
            Check::Named => {
                let name = groups.name("name").map_or("", |name| name.as_str());
                is_sensitive(name) && is_secret_value(name, rest)
            }
        }
    }

    /// The secret in what the pattern found, if it is one.
    pub(super) fn judge(&'static self, text: &str, groups: &Captures) -> Option<Hit> {
        let (start, rest) = (groups.name("start")?, groups.name("rest")?);
        let fixed = matches!(self.check, Check::Random | Check::Checksum) && self.after.is_empty();
        let next = text.as_bytes().get(rest.end());
        // A token that goes on is another thing: a digest, a name.
        if fixed && next.is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_') {
            return None;
        }
        let secret = rest.as_str().trim_matches(QUOTES);
        let skipped = rest.len() - rest.as_str().trim_start_matches(QUOTES).len();
        let begin = rest.start() + skipped;
        self.holds(groups, secret).then(|| Hit {
            rule: self,
            start: if start.is_empty() {
                begin..begin
            } else {
                start.range()
            },
            end: begin + secret.len(),
        })
    }
}

/// What may stand around a value, in a shell and in JSON within one.
const QUOTES: [char; 3] = ['"', '\'', '\\'];

/// A secret in a text.
pub(super) struct Hit {
    pub(super) rule: &'static Rule,
    /// Its public beginning, perhaps empty.
    pub(super) start: Range<usize>,
    pub(super) end: usize,
}

impl Hit {
    /// All of it.
    pub(super) fn span(&self) -> Range<usize> {
        self.start.start..self.end
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.start.start < other.end && other.start.start < self.end
    }
}
