//! What is to be collected, and what came of it.

use std::time::Duration;

use larder_model::retention::{GRACE_MS, Rules, Why};
use larder_store::{Entry, StoreError};
use serde::Serialize;

use crate::documents::Listed;

/// Rules for who has not said any.
const KEEP_LAST: usize = 8;
const OLDER_THAN: Duration = Duration::from_secs(60 * 24 * 3600);
const CLOSED_AFTER: Duration = Duration::from_secs(14 * 24 * 3600);
const COMPACT_BYTES: u64 = 4 << 30;
const COMPACT_WITHIN: Duration = Duration::from_secs(30);
/// What is to be collected.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which documents stay.
    pub rules: Rules,
    /// Bytes that the store may have; documents go until what the others name is not more.
    pub max_bytes: Option<u64>,
    /// Whose documents the rules are for; none for all.
    pub project: Option<String>,
    /// The scopes that still exist, if somebody knows: all others are gone, but for those that were named by
    /// hand.
    pub alive: Option<Vec<String>>,
    /// How long what nothing names stays. Jobs that last longer than half of it may lose their save.
    pub grace: Duration,
    /// Whether nothing is changed.
    pub dry_run: bool,
    /// Does nothing with more documents than this.
    pub documents_max: Option<usize>,
    /// How much may be stored anew, so that packs can go of which little is still named.
    pub compact_bytes: u64,
    /// Until when that goes on, since the collection began; the next one goes on from there.
    pub compact_within: Duration,
}

impl Plan {
    /// By the usual rules, of every project.
    pub fn usual() -> Self {
        Self {
            rules: Rules {
                keep_last: Some(KEEP_LAST),
                older_than_ms: Some(OLDER_THAN.as_millis() as u64),
                closed_after_ms: Some(CLOSED_AFTER.as_millis() as u64),
            },
            max_bytes: None,
            project: None,
            alive: None,
            grace: Duration::from_millis(GRACE_MS),
            dry_run: false,
            documents_max: None,
            compact_bytes: COMPACT_BYTES,
            compact_within: COMPACT_WITHIN,
        }
    }
}

/// A document that goes.
#[derive(Debug, Clone, Serialize)]
pub struct Goes {
    /// Its path.
    pub document: Listed,
    /// Why.
    pub why: &'static str,
}

/// Objects and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }

    pub(super) fn add_all(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.add(entry.bytes);
        }
    }
}

/// What a collection did; of a dry run, what it would have done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Collected {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Documents that stay.
    pub documents: usize,
    /// Documents that go.
    pub gone: Vec<Goes>,
    /// What documents name.
    pub kept: Amount,
    /// What was removed.
    pub removed: Amount,
    /// What only documents name that have gone, or nothing: it is removed when the grace is over.
    pub waiting: Amount,
    /// What was stored anew, so that packs can go.
    pub compacted: Compacted,
    /// Why nothing was removed but documents, if so.
    pub held_back: Option<String>,
}

/// What documents that were laid out anew came to; of a dry run, what they would come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// How many there are.
    pub documents: usize,
    /// The packs that nothing names any more then: they are removed when the grace is over.
    pub given_up: Amount,
    /// Bytes that were stored for that.
    pub stored_bytes: u64,
    /// Why some of them are as they were, if so.
    pub left_out: Option<String>,
}

impl Compacted {
    /// Nothing, and why.
    pub(super) fn not(why: &StoreError) -> Self {
        Self {
            left_out: Some(why.to_string()),
            ..Self::default()
        }
    }
}

impl Collected {
    pub(super) fn goes(&mut self, document: &Listed, why: Why) {
        let (document, why) = (document.clone(), why.text());
        self.gone.push(Goes { document, why });
    }
}
