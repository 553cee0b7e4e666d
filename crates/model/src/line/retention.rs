//! Which documents a store keeps.
//!
//! Ages are those of the store: by its own clock, between when it got an object and now. Whoever asks says
//! them; nothing here looks at a clock.

use std::cmp::Reverse;
use std::collections::HashMap;

const HOUR_MS: u64 = 3_600_000;

/// What a collection has found unnamed is removed so much later at the earliest. A job may name objects that
/// nothing names any more, because it has read a document before that was removed.
pub const GRACE_MS: u64 = 24 * HOUR_MS;

/// For so long a job may name what it has found in, or put into, a store, without looking whether it is still
/// there. Half of the grace: the other half is for the clocks, and for the collection itself.
pub const REUSE_MS: u64 = GRACE_MS / 2;

/// What is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// So many of each lineage, the newest.
    pub keep_last: Option<usize>,
    /// None that is older than this.
    pub older_than_ms: Option<u64>,
    /// None of a scope that is brief (a pull request, a commit) and got nothing for so long.
    pub closed_after_ms: Option<u64>,
}

/// A document, as the rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Aged<'a> {
    /// Its line.
    pub lineage: &'a str,
    /// Its scope, with the project that it is of.
    pub scope: (&'a str, &'a str),
    /// Whether the scope is one that ends: a pull request, a tag, a commit or an event.
    pub is_brief: bool,
    /// Whether the scope is known to have ended.
    pub is_gone: bool,
    /// Its time, by the clock of the machine that made it: jobs try the newest of a line first.
    pub created_ms: u64,
    /// Whether that time is ahead, so that jobs try it last.
    pub is_ahead: bool,
    /// How long the store has had it.
    pub age_ms: u64,
}

/// Why a document goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its branch, tag or pull request is no more.
    Gone,
    /// Nothing of its pull request, tag, commit or event came for long.
    Closed,
    /// It is too old.
    Old,
    /// There are enough newer ones in its lineage.
    Beyond,
    /// The store is too large.
    Large,
    /// It stands beside the same, laid out anew.
    Twin,
}

impl Why {
    /// The reason, for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Gone => "its scope is gone",
            Self::Closed => "its scope seems to be closed",
            Self::Old => "it is old",
            Self::Beyond => "newer ones follow it",
            Self::Large => "the store is too large",
            Self::Twin => "it was laid out anew",
        }
    }
}

/// What becomes of each document: nothing where it stays.
pub fn judge(documents: &[Aged<'_>], rules: &Rules) -> Vec<Option<Why>> {
    let ranks = ranks(documents);
    let mut last_ms: HashMap<_, u64> = HashMap::new();
    for document in documents {
        let youngest = last_ms.entry(document.scope).or_insert(u64::MAX);
        *youngest = document.age_ms.min(*youngest);
    }
    let judged = documents.iter().zip(ranks).map(|(document, rank)| {
        let exceeds = |age_ms: u64, max: Option<u64>| max.is_some_and(|max| age_ms >= max);
        if document.is_gone {
            Some(Why::Gone)
        } else if document.is_brief && exceeds(last_ms[&document.scope], rules.closed_after_ms) {
            Some(Why::Closed)
        } else if exceeds(document.age_ms, rules.older_than_ms) {
            Some(Why::Old)
        } else if rules.keep_last.is_some_and(|count| rank >= count) {
            Some(Why::Beyond)
        } else {
            None
        }
    });
    judged.collect()
}

/// The documents in the order of their worth: heads of lineages first, then those that come next in
/// theirs; of these the youngest first.
pub fn by_worth(documents: &[Aged<'_>]) -> Vec<usize> {
    let ranks = ranks(documents);
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by_key(|at| (ranks[*at], documents[*at].age_ms));
    order
}

/// Each document's place in its lineage: 0 is the head.
fn ranks(documents: &[Aged<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by_key(|at| {
        let document = &documents[*at];
        (document.is_ahead, Reverse(document.created_ms))
    });
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut ranks = vec![0; documents.len()];
    for at in order {
        let count = counts.entry(documents[at].lineage).or_default();
        ranks[at] = *count;
        *count += 1;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_790_000_000_000;
    const DAY_MS: u64 = 24 * HOUR_MS;

    fn aged<'a>(lineage: &'a str, scope: &'a str, days: u64) -> Aged<'a> {
        Aged {
            lineage,
            scope: ("shop", scope),
            is_brief: scope.starts_with("pull"),
            is_gone: false,
            created_ms: NOW_MS - days * DAY_MS,
            is_ahead: false,
            age_ms: days * DAY_MS,
        }
    }

    #[test]
    fn each_rule_takes_what_it_says() {
        let documents = [
            aged("a", "main", 3),
            aged("a", "main", 1),
            aged("a", "main", 2),
            aged("b", "main", 100),
            aged("c", "pull/7", 15),
            aged("d", "pull/8", 15),
            // Another job of the same pull request.
            aged("e", "pull/8", 1),
            Aged {
                is_gone: true,
                ..aged("f", "main", 0)
            },
        ];
        let rules = Rules {
            keep_last: Some(2),
            older_than_ms: Some(90 * DAY_MS),
            closed_after_ms: Some(14 * DAY_MS),
        };
        let expected = [
            Some(Why::Beyond),
            None,
            None,
            Some(Why::Old),
            Some(Why::Closed),
            None,
            None,
            Some(Why::Gone),
        ];
        assert_eq!(judge(&documents, &rules), expected);
        let none = judge(&documents[..7], &Rules::default());
        assert!(none.iter().all(Option::is_none));
    }

    #[test]
    fn a_head_is_what_jobs_try_first_whatever_the_store_got_last() {
        let copied = Aged {
            age_ms: 0,
            ..aged("a", "main", 9)
        };
        let years_ahead = Aged {
            created_ms: NOW_MS + 1000 * DAY_MS,
            is_ahead: true,
            ..aged("a", "main", 1)
        };
        let documents = [copied, years_ahead, aged("a", "main", 1)];
        let rules = Rules {
            keep_last: Some(1),
            ..Rules::default()
        };
        let judged = judge(&documents, &rules);
        assert_eq!(judged, [Some(Why::Beyond), Some(Why::Beyond), None]);
    }

    #[test]
    fn heads_are_worth_most_and_of_these_the_youngest() {
        let documents = [
            aged("a", "main", 2),
            aged("a", "main", 1),
            aged("b", "main", 50),
            aged("b", "main", 60),
        ];
        assert_eq!(by_worth(&documents), [1, 2, 0, 3]);
    }
}
