//! Snapshots: one saved volume.
//!
//! # Data format
//!
//! A JSON object in UTF-8 (see [`Snapshot`] for its fields), stored at
//! `snapshots/<project>/<compatibility>/<scope>/<job>/<time>-<id>.json`, where the id is the BLAKE3
//! digest of exactly these bytes and the time is that of [`crate::address::snapshot`]. Fields that a
//! reader does not know are ignored; a change of meaning is a new `format`.

use serde::{Deserialize, Serialize};

use crate::digest::{HotListId, MapId, SnapshotId};
use crate::limits::SNAPSHOT_MAX_BYTES;
use crate::lineage::Lineage;
use crate::wire::FormatError;

/// The format that this program writes and reads.
pub const FORMAT: u32 = 1;

const OBJECT: &str = "snapshot";

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
    /// Root of the volume's map.
    pub map: MapId,
    /// Size of the volume in bytes.
    pub volume_bytes: u64,
    /// What the job read, in order, for the next one to fetch first.
    pub hot: Option<HotListId>,
    /// The engine that wrote the volume.
    pub engine: EngineRecord,
    /// Version of Larder that wrote it.
    pub larder: String,
    /// What the save cost.
    pub statistics: Statistics,
    /// What the job's builds depended on, where it was known; its own format is the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<serde_json::Value>,
}

/// The engine that wrote a volume. An older one must not open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineRecord {
    /// For example `docker`.
    pub family: String,
    /// For example `26.1.5+dfsg1`.
    pub version: String,
    /// `overlay2` or `containerd`.
    pub image_store: String,
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

impl Snapshot {
    /// The bytes of the object, and its id.
    pub fn encode(&self) -> (SnapshotId, Vec<u8>) {
        let mut bytes = serde_json::to_vec(self).expect("every field has a JSON form");
        bytes.push(b'\n');
        (SnapshotId::of(&bytes), bytes)
    }

    /// Reads the object that is stored under `id`.
    pub fn decode(id: SnapshotId, bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > SNAPSHOT_MAX_BYTES {
            return Err(FormatError::invalid(
                OBJECT,
                format!("it has {} bytes", bytes.len()),
            ));
        }
        if SnapshotId::of(bytes) != id {
            return Err(FormatError::invalid(
                OBJECT,
                "its bytes do not have the digest in its name",
            ));
        }
        let snapshot: Self = serde_json::from_slice(bytes)
            .map_err(|error| FormatError::invalid(OBJECT, error.to_string()))?;
        if snapshot.format != FORMAT {
            let found = u16::try_from(snapshot.format).unwrap_or(u16::MAX);
            return Err(FormatError::Version {
                object: OBJECT,
                found,
                known: FORMAT as u16,
            });
        }
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Snapshot {
        Snapshot {
            format: FORMAT,
            lineage: Lineage {
                project: "shop".into(),
                compatibility: "linux-amd64-overlay2-docker26".into(),
                scope: "main".into(),
                job: "build".into(),
            },
            created_ms: 1_790_000_000_000,
            parent: None,
            sibling: false,
            map: MapId::of(b"map"),
            volume_bytes: 64 << 30,
            hot: None,
            engine: EngineRecord {
                family: "docker".into(),
                version: "26.1.5".into(),
                image_store: "overlay2".into(),
            },
            larder: "0.1.0".into(),
            statistics: Statistics::default(),
            plan: None,
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
}
