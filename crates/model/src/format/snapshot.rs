//! Snapshots: one saved volume.
//!
//! # Data format
//!
//! A [document](crate::format::document) below `snapshots`, with the fields of [`Snapshot`].

use serde::{Deserialize, Serialize};

use crate::digest::{HotListId, MapId, SnapshotId};
use crate::format::address::Kind;
pub use crate::format::document::EngineRecord;
use crate::format::document::{Document, answered_from_fields, is_none};
use crate::format::hot::PackRange;
use crate::format::limits::SNAPSHOT_MAX_BYTES;
use crate::history::{self, Entry, Figures};
use crate::lineage::Lineage;

/// The format that this program writes and reads.
pub const FORMAT: u32 = 1;

/// One saved volume, and all that is known of how it came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The line it belongs to.
    pub lineage: Lineage,
    /// When it was made: Unix time in milliseconds.
    pub created_ms: u64,
    /// The snapshot that the job started from.
    pub parent: Option<SnapshotId>,
    /// Whether another job had already moved the head of this lineage away from `parent`.
    pub sibling: bool,
    /// The snapshot that this one is, if a collection has laid it out anew: all else is as its job wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<SnapshotId>,
    /// How many saves it continues, where saves are signed; see [`document::counter`](crate::document::counter).
    #[serde(default, skip_serializing_if = "is_none")]
    pub counter: u64,
    /// Root of the volume's map.
    pub map: MapId,
    /// Size of the volume in bytes.
    pub volume_bytes: u64,
    /// What the job read, in order, for the next one to fetch first.
    pub hot: Option<HotListId>,
    /// What of it a far job reads beside the list itself, not after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<PackRange>,
    /// The engine that wrote the volume.
    pub engine: EngineRecord,
    /// Version of Larder that wrote it.
    pub larder: String,
    /// What the save cost.
    pub statistics: Statistics,
    /// How long the builds take on an empty engine, where that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_build_ms: Option<u64>,
    /// What the job came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    /// What the jobs before it in its line came to, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Entry>,
    /// What the job's builds depended on, where it was known; its own format is the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<serde_json::Value>,
}

impl Snapshot {
    /// One of a volume that this program wrote, of which nothing else is known.
    pub fn first(
        lineage: Lineage,
        created_ms: u64,
        map: MapId,
        volume_bytes: u64,
        engine: EngineRecord,
    ) -> Self {
        Self {
            format: FORMAT,
            lineage,
            created_ms,
            parent: None,
            sibling: false,
            original: None,
            counter: 0,
            map,
            volume_bytes,
            hot: None,
            first: Vec::new(),
            engine,
            larder: env!("CARGO_PKG_VERSION").to_owned(),
            statistics: Statistics::default(),
            cold_build_ms: None,
            figures: None,
            past: Vec::new(),
            plan: None,
        }
    }

    /// What its job came to, if it says so.
    fn entry(&self, id: SnapshotId) -> Option<Entry> {
        Some(Entry {
            snapshot: self.original.unwrap_or(id),
            created_ms: self.created_ms,
            used_blocks: self.statistics.used_blocks,
            stored_bytes: self.statistics.stored_bytes,
            cold_build_ms: self.cold_build_ms,
            figures: self.figures?,
        })
    }

    /// What the jobs up to its own came to, the newest first: what the next one of its line carries on.
    pub fn history(&self, id: SnapshotId) -> Vec<Entry> {
        history::carried(self.entry(id), &self.past)
    }
}

/// What a save wrote, in blocks and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Blocks of the volume that are not zero.
    pub used_blocks: u64,
    /// Blocks that the job wrote or discarded.
    pub dirty_blocks: u64,
    /// Blocks whose content the store did not have.
    pub new_blocks: u64,
    /// Bytes of all objects written for this snapshot.
    pub stored_bytes: u64,
}

impl Document for Snapshot {
    const KIND: Kind = Kind::Snapshot;
    const OBJECT: &'static str = "snapshot";
    const FORMAT: u32 = FORMAT;
    const MAX_BYTES: usize = SNAPSHOT_MAX_BYTES;

    answered_from_fields! { SnapshotId }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::wire::FormatError;

    fn example() -> Snapshot {
        Snapshot {
            larder: "0.1.0".into(),
            ..Snapshot::first(
                Lineage {
                    project: "shop".into(),
                    compatibility: "linux-amd64-overlay2-docker26".into(),
                    scope: "main".into(),
                    job: "build".into(),
                },
                1_790_000_000_000,
                MapId::of(b"map"),
                64 << 30,
                EngineRecord {
                    family: "docker".into(),
                    version: "26.1.5".into(),
                    image_store: "overlay2".into(),
                },
            )
        }
    }

    #[test]
    fn golden_bytes() {
        let (id, bytes) = example().encode();
        assert_eq!(
            id.to_string(),
            "b48353d47bc02f4016a8ab30e01c21ed02a2522d88f0474bc610bbacaa285713",
            "{}",
            String::from_utf8_lossy(&bytes)
        );
        assert_eq!(Snapshot::decode(id, &bytes), Ok(example()));
    }

    #[test]
    fn one_flipped_bit_is_found() {
        let (id, bytes) = example().encode();
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert!(Snapshot::decode(id, &broken).is_err(), "byte {at}");
        }
    }

    #[test]
    fn another_format_is_named() {
        let other = Snapshot {
            format: 2,
            ..example()
        };
        let (id, bytes) = other.encode();
        let error = Snapshot::decode(id, &bytes).expect_err("a newer format");
        assert!(error.to_string().contains("version 2"), "{error}");
    }

    #[test]
    fn a_newer_format_of_another_form_is_named_too() {
        let bytes = br#"{"format":3,"lineage":["another","form"]}"#;
        let error = Snapshot::decode(SnapshotId::of(bytes), bytes).expect_err("a newer format");
        let found = FormatError::Version {
            object: Snapshot::OBJECT,
            found: 3,
            known: FORMAT as u16,
        };
        assert_eq!(error, found);
    }

    #[test]
    fn a_line_is_told_by_its_last_snapshots_alone() {
        let id = |number: u64| SnapshotId::of(&number.to_le_bytes());
        let mut line: Vec<Snapshot> = Vec::new();
        for number in 0..40_u64 {
            let figures = Figures {
                steps: number,
                ..Figures::default()
            };
            let past = line.last().map(|last| last.history(id(number - 1)));
            line.push(Snapshot {
                created_ms: number,
                // One that tells nothing breaks no line.
                figures: (number != 20).then_some(figures),
                past: past.unwrap_or_default(),
                ..example()
            });
        }
        let last = [38, 39].map(|number| line[number].history(id(number as u64)));
        let told = history::told(last.into_iter().flatten());
        let steps: Vec<u64> = told.iter().map(|entry| entry.figures.steps).collect();
        let expected: Vec<u64> = (14..40).filter(|number| *number != 20).collect();
        assert_eq!(steps, expected);
        assert!(line[39].encode().1.len() < 10_000, "it stays small");
    }
}
