//! Laying out archives anew: blobs of which something rests in packs that are given up are stored again, as far as it
//! rests there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use larder_model::archive::{Archive, Blob, PartRef, Place};
use larder_model::digest::PackId;

use super::ArchiveReader;
use super::recipes;
use super::writer::ArchiveWriter;
use crate::catalog::Found;
use crate::fetch::Fetcher;
use larder_objects::{Objects, StoreError};

/// Archives that are laid out anew one after the other. Blobs that two of them share are stored once, and so are chunks
/// that one of them shares with the one before.
#[derive(Debug)]
pub struct ArchiveRelayout {
    objects: Objects,
    given_up: HashSet<PackId>,
    /// The recipes of blobs that have moved.
    moved: HashMap<Vec<PartRef>, Place>,
    last: Option<Archive>,
    stored_bytes: u64,
}

impl ArchiveRelayout {
    /// Archives that are to leave these packs.
    pub fn new(objects: Objects, given_up: HashSet<PackId>) -> Self {
        Self {
            objects,
            given_up,
            moved: HashMap::new(),
            last: None,
            stored_bytes: 0,
        }
    }

    /// Bytes of all objects written so far.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// The blobs of an archive, without these packs.
    pub async fn archive(
        &mut self,
        found: Found<Archive>,
    ) -> Result<BTreeMap<String, Blob>, StoreError> {
        let fetcher = Fetcher::new(self.objects.clone());
        let archive = Arc::new(found.document.clone());
        let reader = ArchiveReader::new(self.objects.clone(), Arc::clone(&archive));
        let given_up = self.given_up.clone();
        let mut writer =
            ArchiveWriter::leaving(self.objects.clone(), found, self.last.take(), given_up);
        let mut moving = Vec::new();
        for (name, blob) in &archive.blobs {
            let Place::Recipe(parts) = &blob.place else {
                writer.keep(name);
                continue;
            };
            if let Some(place) = self.moved.get(parts) {
                writer.take(name, blob.bytes, place.clone());
            } else if self.rests_there(&fetcher, parts).await? {
                let content = reader.blob(name).expect("the archive has it");
                writer.blob(name, blob.bytes, content).await?;
                moving.push((parts, name));
            } else {
                writer.keep(name);
            }
        }
        let (blobs, stored_bytes) = writer.into_blobs().await?;
        self.stored_bytes += stored_bytes;
        for (parts, name) in moving {
            self.moved.insert(parts.clone(), blobs[name].place.clone());
        }
        self.last = Some(Archive {
            blobs: blobs.clone(),
            ..Archive::clone(&archive)
        });
        Ok(blobs)
    }

    async fn rests_there(&self, fetcher: &Fetcher, parts: &[PartRef]) -> Result<bool, StoreError> {
        for place in parts {
            let part = recipes::read(fetcher, *place).await?;
            let mut packs = part.frames().iter().map(|frame| frame.pack);
            if packs.any(|pack| self.given_up.contains(&pack)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
