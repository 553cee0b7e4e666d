//! Keeping a storage small. podman remembers of no image when it was last used, and a build that finds a step in its
//! cache leaves no trace. So nothing that has a name is dropped as long as there is room, and what has none, the steps
//! of builds and images whose name has moved on, after some time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use larder_engine::EngineError;
use larder_engine::collector::{Collected, space};
use larder_engine::paths::bytes_in;
use larder_model::dropping::{Held, Holdings};
use serde::Deserialize;

use crate::Result;
use crate::program::Podman;

/// Images without a name, and without one on top of them that has one, that were made so long ago: 14 days.
const PRUNE: [&str; 5] = ["image", "prune", "--force", "--filter", "until=336h"];
const IMAGES: [&str; 5] = ["images", "--all", "--no-trunc", "--format", "json"];
/// What shares layers with what stays frees less than it takes, so after each round is looked again.
const ROUNDS_MAX: usize = 12;
/// What goes beyond its bound is dropped until one part of so many is free below it.
const ROOM_PARTS: u64 = 8;

/// How much may stay, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Bytes in use on the volume.
    pub keep_bytes: u64,
    /// Whether named volumes are saved; else they do not count.
    pub keep_volumes: bool,
    /// What cannot be done in this time is left for the next job.
    pub limit: Duration,
}

/// An image as podman lists it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    #[serde(default)]
    parent_id: String,
    names: Option<Vec<String>>,
    /// Unix time in seconds.
    created: i64,
    size: u64,
}

impl Image {
    fn held(self, of_before: &BTreeSet<String>) -> Held {
        let made_ms = u64::try_from(self.created).unwrap_or_default() * 1000;
        Held {
            is_used: !of_before.contains(&self.id),
            is_named: self.names.is_some_and(|names| !names.is_empty()),
            parents: [self.parent_id]
                .into_iter()
                .filter(|id| !id.is_empty())
                .collect(),
            id: self.id,
            bytes: self.size,
            used_ms: made_ms,
            ..Held::default()
        }
    }
}

impl Podman {
    /// Drops images without a name that are old, and if more than the bound is in use, those that were made first;
    /// nothing that the job has made or pulled, which is what was not there `before`.
    pub fn drop_unneeded(&self, before: &BTreeSet<String>, bound: Bound) -> Collected {
        let used = self.used_bytes();
        let mut dropping = Dropping {
            podman: self,
            before,
            bound,
            until: Instant::now() + bound.limit,
        };
        let held = self.held().unwrap_or_default().len();
        let outcome = dropping.run();
        let left = self.held().unwrap_or_default().len();
        let used_bytes = self.used_bytes();
        Collected {
            images: held.saturating_sub(left),
            records: 0,
            freed_bytes: used.saturating_sub(used_bytes),
            used_bytes,
            warning: outcome
                .err()
                .map(|error| format!("not all that could be was dropped: {error}")),
        }
    }

    /// What cannot be told is taken for little: then nothing is dropped.
    fn used_bytes(&self) -> u64 {
        let space = space(self.storage.graph_root());
        space.unwrap_or_default().used_bytes()
    }
}

struct Dropping<'a> {
    podman: &'a Podman,
    before: &'a BTreeSet<String>,
    bound: Bound,
    until: Instant,
}

impl Dropping<'_> {
    fn run(&mut self) -> Result<()> {
        self.podman.ask(&PRUNE, self.left())?;
        if self.excess(self.bound.keep_bytes)? == 0 {
            return Ok(());
        }
        // With some room below, the next jobs need not drop again.
        let below = self.bound.keep_bytes - self.bound.keep_bytes / ROOM_PARTS;
        for _ in 0..ROUNDS_MAX {
            let excess = self.excess(below)?;
            let text = self.podman.ask(&IMAGES, self.left())?;
            let all: Vec<Image> = self.podman.parsed("the list of images", &text)?;
            let held = all.into_iter().map(|image| image.held(self.before));
            let least = Holdings::new(held.collect(), Vec::new()).least_used(excess);
            if least.images.is_empty() {
                break;
            }
            let ids = least.images.iter().map(String::as_str);
            let removal: Vec<&str> = ["rmi", "--force"].into_iter().chain(ids).collect();
            self.podman.ask(&removal, self.left())?;
        }
        Ok(())
    }

    fn excess(&self, keep_bytes: u64) -> Result<u64> {
        let root = self.podman.storage.graph_root();
        let space = space(root).map_err(EngineError::io("cannot look at", root))?;
        let excess = space.excess(keep_bytes);
        if excess == 0 || self.bound.keep_volumes {
            return Ok(excess);
        }
        Ok(excess.saturating_sub(bytes_in(&root.join("volumes"))?))
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_says_what_stands_on_what() {
        let text = r#"[{"Id": "app", "ParentId": "step", "Names": ["localhost/app:latest"], "Created": 20, "Size": 9},
            {"Id": "step", "ParentId": "", "RepoTags": null, "Created": 10, "Size": 5},
            {"Id": "old", "ParentId": "step", "Names": null, "Created": 15, "Size": 7}]"#;
        let all: Vec<Image> = serde_json::from_str(text).expect("a listing");
        let before = ["step", "old"].map(str::to_owned).into();
        let held = all.into_iter().map(|image| image.held(&before)).collect();
        let least = Holdings::new(held, Vec::new()).least_used(u64::MAX);
        assert_eq!(least.images, ["old"], "the job's image and its step stay");
    }
}
