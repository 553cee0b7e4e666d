//! What a rule is, and when what its pattern found is a secret.

use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use regex::{Captures, Regex, RegexSet};

use crate::secrets::checksum::agrees;
use crate::secrets::name::is_sensitive;
use crate::secrets::value::{is_password, is_random, is_secret_value};
use crate::secrets::{shapes, tokens};

/// A token begins where a word begins.
const WORD: &str = r"(?-u:\b)";

/// Most secrets that are looked for in one text: who reads a hundred needs no more, and the text is
/// somebody else's.
pub(super) const FOUND_MAX: usize = 100;

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
    fn hint(&self) -> &'static str {
        if !self.start.is_empty() {
            self.start
        } else if self.before == WORD {
            self.rest
        } else {
            self.before
        }
    }

    fn pattern(&self) -> Regex {
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
    fn judge(&'static self, text: &str, groups: &Captures) -> Option<Hit> {
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
    /// All of a value, a secret because of its name.
    pub(super) fn named(value: &str) -> Self {
        Self {
            rule: &shapes::BY_NAME,
            start: 0..0,
            end: value.len(),
        }
    }

    /// All of it.
    pub(super) fn span(&self) -> Range<usize> {
        self.start.start..self.end
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start.start < other.end && other.start.start < self.end
    }
}

/// All rules, those that know most first, each with its pattern once it was needed.
static RULES: LazyLock<Vec<(&'static Rule, OnceLock<Regex>)>> = LazyLock::new(|| {
    let rules = tokens::TOKENS.iter().chain(shapes::SHAPES);
    let rules = rules.chain([&shapes::BY_NAME]);
    rules.map(|rule| (rule, OnceLock::new())).collect()
});

/// Which rules a text has a hint of, found in one pass. Most texts have none, and most patterns are
/// never made.
static HINTS: LazyLock<RegexSet> = LazyLock::new(|| {
    let hints = RULES.iter().map(|(rule, _)| rule.hint());
    RegexSet::new(hints).expect("the patterns of the tables are well formed")
});

/// The secrets in a text, from left to right, none within another.
pub(super) fn hits(text: &str) -> Vec<Hit> {
    let mut found: Vec<Hit> = Vec::new();
    for index in HINTS.matches(text) {
        let (rule, pattern) = &RULES[index];
        let pattern = pattern.get_or_init(|| rule.pattern());
        for groups in pattern.captures_iter(text) {
            if found.len() == FOUND_MAX {
                break;
            }
            let hit = rule.judge(text, &groups);
            found.extend(hit.filter(|hit| !found.iter().any(|other| hit.overlaps(other))));
        }
    }
    found.sort_by_key(|hit| hit.start.start);
    found
}

#[cfg(test)]
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().map(|(rule, _)| *rule)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{HINTS, RULES};

    #[test]
    fn all_patterns_are_well_formed() {
        assert_eq!(HINTS.len(), RULES.len());
        for (rule, _) in RULES.iter() {
            assert!(rule.pattern().capture_names().flatten().count() >= 2);
            assert!(rule.source.starts_with("https://"), "{}", rule.id);
            assert!(rule.what.starts_with("a ") || rule.what.starts_with("an "));
        }
    }

    #[test]
    fn an_id_names_one_rule() {
        let ids: BTreeSet<_> = RULES.iter().map(|(rule, _)| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
    }
}
