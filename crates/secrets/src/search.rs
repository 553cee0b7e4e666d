//! All rules together, and looking for what they know in a text.

use std::sync::{LazyLock, OnceLock};

use regex::{Regex, RegexSet};

use crate::rule::{Hit, Rule};
use crate::{shapes, tokens};

/// Most secrets that are looked for in one text: who reads a hundred needs no more, and the text is
/// somebody else's.
const FOUND_MAX: usize = 100;

/// All rules, those that know most first, each with its pattern once it was needed.
static RULES: LazyLock<Vec<(&'static Rule, OnceLock<Regex>)>> = LazyLock::new(|| {
    let by_form = tokens::TOKENS.iter().chain(shapes::SHAPES);
    let rules = by_form.chain([&shapes::BY_NAME]);
    rules.map(|rule| (rule, OnceLock::new())).collect()
});

/// Which rules a text has a hint of, found in one pass. Most texts have none, and most patterns are
/// never made.
static HINTS: LazyLock<RegexSet> = LazyLock::new(|| {
    let hints = RULES.iter().map(|(rule, _)| rule.hint());
    RegexSet::new(hints).expect("the patterns of the tables are well formed")
});

impl Hit {
    /// All of a value, a secret because of its name.
    pub(super) fn named(value: &str) -> Self {
        Self {
            rule: &shapes::BY_NAME,
            start: 0..0,
            end: value.len(),
        }
    }
}

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
