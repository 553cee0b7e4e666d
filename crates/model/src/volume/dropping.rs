//! What of an engine's images and build cache is dropped, and in which order: first what nobody needs, then what
//! was used least recently. What the job at hand has used stays, and so does all that it stands on. What is
//! dropped and needed again is built or pulled again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// An image that so many jobs in a row have not used is dropped.
const IMAGE_UNUSED_JOBS: u64 = 4;
/// Build cache that nobody used for 14 days is.
const RECORD_UNUSED_MS: u64 = 14 * 24 * 3600 * 1000;
/// And all beyond the most recently used records: an engine reads every one at its start. A job of a large
/// project uses many, and those of its other branches are to stay too.
const RECORDS_PER_USED: usize = 3;
/// So many are never too many.
const RECORDS_MIN: usize = 20;
/// Once they are too many, one part of so many goes too: to drop a few records reads as much of a volume as to drop many.
const RECORDS_PARTS: usize = 4;

/// An image or a record of the build cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: String,
    /// What it stands on, of its own kind: that cannot go before it.
    pub parents: Vec<String>,
    /// Whether somebody can ask for it by name. A record has none.
    pub is_named: bool,
    /// Whether an image holds the content of a record too: then it is that image's to go.
    pub is_shared: bool,
    /// What it takes, with what it shares.
    pub bytes: u64,
    /// Whether the job at hand has made or used it.
    pub is_used: bool,
    /// How many jobs have ended since the last that used it.
    pub jobs_since: u64,
    /// When it was last used: Unix time in milliseconds.
    pub used_ms: u64,
}

/// Ids of what is to be dropped. What stands on another comes before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropping {
    /// Images.
    pub images: Vec<String>,
    /// Records of the build cache.
    pub records: Vec<String>,
}

impl Dropping {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.records.is_empty()
    }
}

/// All that an engine holds. What stands on another comes before it, and whoever uses it uses that one too.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    images: Vec<Held>,
    records: Vec<Held>,
}

impl Holdings {
    /// What a listing of both says.
    pub fn new(images: Vec<Held>, records: Vec<Held>) -> Self {
        Self {
            images: in_order(images),
            records: in_order(records),
        }
    }

    /// What is dropped at the end of every job: images without a name, build cache that is old or too much,
    /// images that no recent job used.
    pub fn outlived(&self, now_ms: u64) -> Dropping {
        Dropping {
            images: outlived_images(&self.images),
            records: outlived_records(&self.records, now_ms),
        }
    }

    /// The least recently used, until this much is gone. Layers that several of them share are counted for each,
    /// so it may be less: then there is a next time.
    pub fn least_used(&self, bytes: u64) -> Dropping {
        let images = self.images.iter().map(|image| (image, true));
        let records = self.records.iter().map(|record| (record, false));
        let mut all: Vec<_> = images.chain(records).collect();
        all.retain(|(held, _)| !held.is_used && !held.is_shared);
        // A stable sort: of two that were used at the same time the one above stays first.
        all.sort_by_key(|(held, _)| held.used_ms);
        let (mut dropping, mut gone) = (Dropping::default(), 0);
        for (held, is_image) in all {
            if gone >= bytes {
                break;
            }
            gone += held.bytes;
            let ids = if is_image {
                &mut dropping.images
            } else {
                &mut dropping.records
            };
            ids.push(held.id.clone());
        }
        dropping
    }
}

fn outlived_images(images: &[Held]) -> Vec<String> {
    let mut staying_on: BTreeSet<&str> = BTreeSet::new();
    let mut outlived = Vec::new();
    for image in images {
        let is_needed = image.is_named || staying_on.contains(&*image.id);
        if image.is_used || is_needed && image.jobs_since < IMAGE_UNUSED_JOBS {
            staying_on.extend(image.parents.iter().map(|parent| &**parent));
        } else {
            outlived.push(image.id.clone());
        }
    }
    outlived
}

fn outlived_records(records: &[Held], now_ms: u64) -> Vec<String> {
    let used = records.iter().filter(|record| record.is_used).count();
    let most = RECORDS_MIN.max(used * RECORDS_PER_USED);
    let mut recent: Vec<_> = records.iter().enumerate().collect();
    // Of equal ones the last stay: those that others stand on.
    recent.sort_by_key(|(at, record)| Reverse((record.is_used, record.used_ms, *at)));
    let are_too_many = records.len() > most;
    let go = if are_too_many {
        most / RECORDS_PARTS
    } else {
        0
    };
    let kept = recent.iter().take(most - go);
    let kept: BTreeSet<usize> = kept.map(|(at, _)| *at).collect();
    let outlived = records.iter().enumerate().filter(|(at, record)| {
        let is_old = now_ms.saturating_sub(record.used_ms) > RECORD_UNUSED_MS;
        !record.is_used && (is_old || !kept.contains(at))
    });
    outlived.map(|(_, record)| record.id.clone()).collect()
}

/// Those above before those that they stand on, which are used whenever they are.
fn in_order(all: Vec<Held>) -> Vec<Held> {
    let mut standing_on: BTreeMap<String, usize> = BTreeMap::new();
    for parent in all.iter().flat_map(|held| &held.parents) {
        *standing_on.entry(parent.clone()).or_default() += 1;
    }
    let mut waiting: BTreeMap<String, Held> = BTreeMap::new();
    let mut next = Vec::new();
    for held in all {
        if standing_on.contains_key(&held.id) {
            waiting.insert(held.id.clone(), held);
        } else {
            next.push(held);
        }
    }
    let mut ordered = Vec::new();
    while let Some(held) = next.pop() {
        for parent in &held.parents {
            let Some(below) = waiting.get_mut(parent) else {
                continue;
            };
            below.is_used |= held.is_used;
            below.jobs_since = below.jobs_since.min(held.jobs_since);
            below.used_ms = below.used_ms.max(held.used_ms);
            let left = standing_on.get_mut(parent).expect("it was counted");
            *left -= 1;
            if *left == 0 {
                next.extend(waiting.remove(parent));
            }
        }
        ordered.push(held);
    }
    // Nothing stands on itself. If a listing says so all the same, its circle is left alone.
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100 * 24 * 3600 * 1000;

    /// Last used so many jobs and seconds ago; 0: by the job at hand.
    fn held(id: &str, ago: u64, parents: &[&str]) -> Held {
        Held {
            id: id.to_owned(),
            parents: parents.iter().map(ToString::to_string).collect(),
            is_named: true,
            is_shared: false,
            bytes: 10,
            is_used: ago == 0,
            jobs_since: ago,
            used_ms: NOW - ago * 1000,
        }
    }

    fn unnamed(id: &str, ago: u64, parents: &[&str]) -> Held {
        Held {
            is_named: false,
            ..held(id, ago, parents)
        }
    }

    fn images(all: Vec<Held>) -> Vec<String> {
        Holdings::new(all, Vec::new()).outlived(NOW).images
    }

    #[test]
    fn images_go_without_a_name_or_a_recent_use() {
        let dropped = images(vec![
            held("made", 0, &[]),
            held("recent", IMAGE_UNUSED_JOBS - 1, &[]),
            held("old", IMAGE_UNUSED_JOBS, &[]),
            unnamed("dangling", 1, &[]),
            unnamed("made without a name", 0, &[]),
        ]);
        assert_eq!(dropped, ["dangling", "old"]);
    }

    #[test]
    fn what_an_image_stands_on_stays_with_it() {
        let dropped = images(vec![
            unnamed("step 1", 5, &["base"]),
            held("base", 50, &[]),
            held("app", 1, &["step 2"]),
            unnamed("step 2", 3, &["step 1"]),
            unnamed("last app", 1, &["last step 2"]),
            unnamed("last step 2", 1, &["step 1"]),
        ]);
        assert_eq!(dropped, ["last app", "last step 2"]);
    }

    #[test]
    fn records_go_by_age_and_beyond_a_number() {
        let mut all: Vec<Held> = (1..=RECORDS_MIN as u64 + 1)
            .map(|ago| unnamed(&format!("r{ago:02}"), ago, &[]))
            .collect();
        let over = |all: &[Held]| {
            Holdings::new(Vec::new(), all.to_vec())
                .outlived(NOW)
                .records
        };
        let mut dropped = over(&all);
        dropped.sort();
        assert_eq!(dropped, ["r16", "r17", "r18", "r19", "r20", "r21"]);
        assert!(over(&all[..RECORDS_MIN]).is_empty(), "not one by one");
        // What stands on an old record makes it a recent one.
        all[0].parents.push("r21".to_owned());
        let mut dropped = over(&all);
        dropped.sort();
        assert_eq!(dropped, ["r15", "r16", "r17", "r18", "r19", "r20"]);
        // A job that uses much may keep much.
        for record in &mut all[..8] {
            record.is_used = true;
        }
        assert!(over(&all).is_empty());
        all[12].used_ms = NOW - RECORD_UNUSED_MS - 1;
        assert_eq!(over(&all), ["r13"]);
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let holdings = Holdings::new(
            vec![
                held("used", 0, &[]),
                held("app 8", 8, &[]),
                held("app 9", 9, &[]),
            ],
            vec![
                unnamed("below", 9, &[]),
                unnamed("above", 8, &["below"]),
                unnamed("oldest", 20, &[]),
                unnamed("now", 0, &[]),
                Held {
                    is_shared: true,
                    ..unnamed("in app 9", 30, &[])
                },
            ],
        );
        let order = |bytes| {
            let Dropping { images, records } = holdings.least_used(bytes);
            (images.join(" "), records.join(" "))
        };
        assert_eq!(order(0), (String::new(), String::new()));
        assert_eq!(order(20), ("app 9".to_owned(), "oldest".to_owned()));
        assert_eq!(
            order(u64::MAX),
            ("app 9 app 8".to_owned(), "oldest above below".to_owned())
        );
    }

    #[test]
    fn a_circle_is_left_alone() {
        let all = vec![
            held("a", 50, &["b"]),
            held("b", 50, &["a"]),
            held("c", 50, &[]),
        ];
        assert_eq!(images(all), ["c"]);
    }
}
