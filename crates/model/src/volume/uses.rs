//! Which images the jobs of a line have used, and when: what tells an image that is built anew with each commit
//! from one that every job starts from.
//!
//! # Data format
//!
//! `larder.json` in the root of a volume: [`Uses`] as JSON. It is advice. One that is not understood, or not
//! there, is as good as empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the format.
const VERSION: u32 = 1;
/// A record that was read is not larger than this.
pub const USES_MAX_BYTES: usize = 1 << 20;
/// Images that are remembered: a record stays far below its limit.
const IMAGES_MAX: usize = 2000;
/// Hexadecimal digits of a chain: enough to tell the images of one volume apart.
const CHAIN_DIGITS: usize = 16;

/// What the jobs of a line have used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uses {
    version: u32,
    /// Jobs that have ended.
    jobs: u64,
    /// By id.
    images: BTreeMap<String, Use>,
}

/// The last use of an image, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// By which job.
    pub job: u64,
    /// When that ended: Unix time in milliseconds.
    pub ms: u64,
    /// How many layers it has.
    layers: usize,
    /// Which these are.
    chain: String,
}

impl Uses {
    /// Reads a record; nothing if it is of another form.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let uses: Self = serde_json::from_slice(bytes).ok()?;
        (uses.version == VERSION && bytes.len() <= USES_MAX_BYTES).then_some(uses)
    }

    /// The record as bytes.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts have a JSON form")
    }

    /// The number of the job at hand.
    pub fn job(&self) -> u64 {
        self.jobs + 1
    }

    /// The last use of an image, if it is known.
    pub fn last(&self, id: &str) -> Option<&Use> {
        self.images.get(id)
    }

    /// Notes that the job at hand has used an image with these layers, and thereby all that it is built on.
    pub fn note(&mut self, id: &str, diff_ids: &[String], ms: u64) {
        let job = self.job();
        let chains = chains(diff_ids);
        for image in self.images.values_mut() {
            let below = image.layers.checked_sub(1).and_then(|top| chains.get(top));
            if below == Some(&image.chain) {
                (image.job, image.ms) = (job, ms);
            }
        }
        let made_of = Use {
            job,
            ms,
            layers: diff_ids.len(),
            chain: chains.last().cloned().unwrap_or_default(),
        };
        self.images.insert(id.to_owned(), made_of);
    }

    /// Notes an image that was there before anything was recorded.
    pub fn note_old(&mut self, id: &str, diff_ids: &[String], ms: u64) {
        let made_of = Use {
            job: 0,
            ms,
            layers: diff_ids.len(),
            chain: chains(diff_ids).pop().unwrap_or_default(),
        };
        self.images.insert(id.to_owned(), made_of);
    }

    /// The record after the job at hand: only what is still held is remembered.
    #[must_use]
    pub fn after_job(mut self, held: impl Fn(&str) -> bool) -> Self {
        self.version = VERSION;
        self.jobs += 1;
        self.images.retain(|id, _| held(id));
        while self.images.len() > IMAGES_MAX {
            let oldest = self.images.iter().min_by_key(|(_, last)| last.ms);
            let oldest = oldest.map(|(id, _)| id.clone());
            self.images.remove(&oldest.expect("there are many"));
        }
        self
    }
}

/// For each layer, the digest of all up to it.
fn chains(diff_ids: &[String]) -> Vec<String> {
    let mut hasher = blake3::Hasher::new();
    let mut chains = Vec::new();
    for id in diff_ids {
        hasher.update(id.as_bytes()).update(b"\n");
        let digits = hasher.finalize().to_hex();
        chains.push(digits[..CHAIN_DIGITS].to_owned());
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_base_is_used_with_what_is_built_on_it() {
        let mut uses = Uses::default();
        uses.note_old("base", &layers(&["a", "b"]), 1);
        uses.note_old("other", &layers(&["a", "c"]), 1);
        uses.note_old("scratch", &[], 1);
        uses.note("app", &layers(&["a", "b", "x"]), 7);
        let last = |id: &str| uses.last(id).map(|last| (last.job, last.ms));
        assert_eq!(last("app"), Some((1, 7)));
        assert_eq!(last("base"), Some((1, 7)));
        assert_eq!(last("other"), Some((0, 1)));
        assert_eq!(last("scratch"), Some((0, 1)));
    }

    #[test]
    fn a_record_reads_back_and_forgets_what_is_gone() {
        let mut uses = Uses::default();
        uses.note("kept", &layers(&["a"]), 7);
        uses.note("gone", &layers(&["b"]), 7);
        let after = uses.after_job(|id| id == "kept");
        assert_eq!((after.job(), after.last("gone")), (2, None));
        assert_eq!(Uses::decode(&after.encode()), Some(after));
        for other in [&b"{}"[..], b"no", br#"{"version":2,"jobs":1,"images":{}}"#] {
            assert_eq!(Uses::decode(other), None);
        }
    }

    #[test]
    fn a_record_is_bounded() {
        let mut uses = Uses::default();
        for number in 0..IMAGES_MAX + 10 {
            uses.note_old(&format!("sha256:{number:064}"), &[], number as u64);
        }
        let after = uses.after_job(|_| true);
        assert_eq!(after.images.len(), IMAGES_MAX);
        assert!(after.last(&format!("sha256:{:064}", 9)).is_none());
        assert!(after.encode().len() < USES_MAX_BYTES);
    }
}
