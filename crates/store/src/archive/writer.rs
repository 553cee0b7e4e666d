//! Writing an archive: blobs in, one after the other; the document last.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use larder_local::clock::uptime_ms;
use larder_model::archive::document::FORMAT;
use larder_model::archive::{Archive, Blob, Measured, Place, Statistics};
use larder_model::clock;
use larder_model::digest::PackId;
use larder_model::document::{Document as _, EngineRecord};
use larder_model::limits::{
    ARCHIVE_BLOBS_MAX, BLOB_NAME_MAX_BYTES, INLINE_MAX_BYTES, INLINE_TOTAL_MAX_BYTES,
};
use larder_model::lineage::Lineage;
use larder_model::retention::REUSE_MS;

use super::pipeline::Pipeline;
use super::{ArchiveReader, compact};
use crate::catalog::{self, Found};
use larder_objects::{Objects, StoreError};

/// Bytes that are handed to the cutter at once: enough that the hand-over costs nothing.
const BATCH_BYTES: usize = 1024 * 1024;

/// What an archive says beside its blobs.
#[derive(Debug, Clone)]
pub struct ArchiveFacts {
    /// The line that it belongs to.
    pub lineage: Lineage,
    /// Now: Unix time in milliseconds.
    pub created_ms: u64,
    /// The engine that the images were saved from.
    pub engine: EngineRecord,
    /// Version of Larder.
    pub larder: String,
    /// What the blobs are to the engine.
    pub contents: serde_json::Value,
    /// What using archives of this lineage cost and saved.
    pub measured: Measured,
    /// What the job's builds depended on.
    pub plan: Option<serde_json::Value>,
}

/// Stores blobs, and at last the archive that names them. Nothing is visible before
/// [`ArchiveWriter::finish`]; a writer that is dropped, or that gave an error, leaves objects that
/// nothing names.
pub struct ArchiveWriter {
    objects: Objects,
    parent: Option<Found<Archive>>,
    pipeline: Option<Pipeline>,
    /// Another archive whose chunks it has to share.
    also: Option<Archive>,
    /// Packs in which no chunk of it may rest.
    left: HashSet<PackId>,
    blobs: BTreeMap<String, Blob>,
    /// The blobs that were cut, in order. Their recipes are known when everything is stored.
    cut: Vec<String>,
    inline_bytes: usize,
    statistics: Statistics,
    /// A blob was begun and has not ended: it failed, or its future was dropped.
    broken: bool,
    /// When the parent was read, about, by the machine's uptime.
    begun_ms: u64,
}

impl ArchiveWriter {
    /// A writer of an archive that has `parent`'s chunks and blobs to share. Nothing is read yet.
    pub fn new(objects: Objects, parent: Option<Found<Archive>>) -> Self {
        Self {
            objects,
            parent,
            pipeline: None,
            also: None,
            left: HashSet::new(),
            blobs: BTreeMap::new(),
            cut: Vec::new(),
            inline_bytes: 0,
            statistics: Statistics::default(),
            broken: false,
            begun_ms: uptime_ms(),
        }
    }

    /// A writer of the blobs of `found` anew, so that none rests in some packs any more. `also` has chunks to share.
    pub(super) fn leaving(
        objects: Objects,
        found: Found<Archive>,
        also: Option<Archive>,
        left: HashSet<PackId>,
    ) -> Self {
        Self {
            also,
            left,
            ..Self::new(objects, Some(found))
        }
    }

    /// Takes a blob that is stored already.
    pub(super) fn take(&mut self, name: &str, bytes: u64, place: Place) {
        self.blobs.insert(name.to_owned(), Blob { bytes, place });
    }

    /// Waits until all blobs are stored; gives them, and the bytes of what was stored for them.
    pub(super) async fn into_blobs(mut self) -> Result<(BTreeMap<String, Blob>, u64), StoreError> {
        self.settle().await?;
        Ok((self.blobs, self.statistics.stored_bytes))
    }

    /// The size of the blob that the parent has under this name. Where a name says the content, as
    /// digests do, the blob need not be read again: [`ArchiveWriter::keep`] it.
    pub fn has(&self, name: &str) -> Option<u64> {
        Some(self.of_parent(name)?.bytes)
    }

    /// The size of the blob that was given or kept under this name.
    pub fn wrote(&self, name: &str) -> Option<u64> {
        Some(self.blobs.get(name)?.bytes)
    }

    fn of_parent(&self, name: &str) -> Option<&Blob> {
        self.parent.as_ref()?.document.blobs.get(name)
    }

    /// Takes a blob over from the parent as it is; `false` if the parent does not have it.
    pub fn keep(&mut self, name: &str) -> bool {
        let Some(blob) = self.of_parent(name).cloned() else {
            return false;
        };
        if self.blobs.contains_key(name) {
            return true;
        }
        self.statistics.kept_blobs += 1;
        self.statistics.blob_bytes += blob.bytes;
        if let Place::Inline(text) = &blob.place {
            self.inline_bytes += text.len();
        }
        self.blobs.insert(name.to_owned(), blob);
        true
    }

    /// Stores a blob of `bytes` bytes. After an error, or when the future is dropped before it ends,
    /// the writer is of no use any more: it takes no blobs, and does not publish.
    pub async fn blob<E: Display>(
        &mut self,
        name: &str,
        bytes: u64,
        content: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), StoreError> {
        if name.is_empty() || name.len() > BLOB_NAME_MAX_BYTES {
            return Err(refused(name, format!("its name has {} bytes", name.len())));
        }
        self.usable()?;
        if self.blobs.contains_key(name) {
            return Err(refused(name, "it was given twice"));
        }
        if self.blobs.len() == ARCHIVE_BLOBS_MAX {
            return Err(refused(
                name,
                format!("{ARCHIVE_BLOBS_MAX} blobs are the most"),
            ));
        }
        self.broken = true;
        let content = content
            .map(|piece| piece.map_err(|error| refused(name, error.to_string())))
            .fuse();
        let mut batches = Batches {
            name,
            content: std::pin::pin!(content),
            left: bytes,
        };
        let mut batch = batches.next().await?;
        let place = if let Some(text) = self.short_text(&batch, bytes) {
            self.inline_bytes += text.len();
            Place::Inline(text)
        } else {
            let pipeline = self.pipeline().await?;
            pipeline.begin_blob();
            while !batch.is_empty() {
                let (cut, next) = tokio::join!(pipeline.cut(batch), batches.next());
                cut?;
                batch = next?;
            }
            pipeline.end_blob().await?;
            self.cut.push(name.to_owned());
            Place::Recipe(Vec::new())
        };
        self.blobs.insert(name.to_owned(), Blob { bytes, place });
        self.statistics.blob_bytes += bytes;
        self.statistics.read_bytes += bytes;
        self.broken = false;
        Ok(())
    }

    /// What the parent names may be collected if it was removed long ago.
    async fn check_parent(&self) -> Result<(), StoreError> {
        let Some(parent) = &self.parent else {
            return Ok(());
        };
        let path = parent.document.path(parent.id);
        match self.objects.size(&path).await {
            Some(_) => Ok(()),
            None => Err(StoreError::Collected { path }),
        }
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.broken {
            return Err(refused(
                "the archive",
                "one of its blobs was given up half-way",
            ));
        }
        Ok(())
    }

    /// The whole blob as text, if it is one that belongs into the document.
    fn short_text(&self, batch: &[Bytes], bytes: u64) -> Option<String> {
        let total = self.inline_bytes as u64 + bytes;
        if bytes > INLINE_MAX_BYTES as u64 || total > INLINE_TOTAL_MAX_BYTES as u64 {
            return None;
        }
        let text = String::from_utf8(batch.concat()).ok()?;
        // In JSON a zero byte takes six: a small tar is better off with a recipe.
        text.bytes()
            .all(|byte| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r'))
            .then_some(text)
    }

    /// Reads the parent's recipes when the first blob comes that was not kept.
    async fn pipeline(&mut self) -> Result<&mut Pipeline, StoreError> {
        if self.pipeline.is_none() {
            let parent = self.parent.as_ref().map(|parent| &parent.document);
            let known: Vec<&Archive> = parent.into_iter().chain(&self.also).collect();
            self.pipeline = Some(Pipeline::new(self.objects.clone(), &known, &self.left).await?);
        }
        Ok(self.pipeline.as_mut().expect("it was made just now"))
    }

    /// Waits until all blobs are stored.
    async fn settle(&mut self) -> Result<(), StoreError> {
        self.usable()?;
        if let Some(pipeline) = self.pipeline.take() {
            let recipes = pipeline.finish(&mut self.statistics).await?;
            for (name, parts) in self.cut.iter().zip(recipes) {
                let blob = self.blobs.get_mut(name).expect("every blob has an entry");
                blob.place = Place::Recipe(parts);
            }
        }
        Ok(())
    }

    /// Waits until all blobs are stored, and publishes the archive that names them.
    pub async fn finish(mut self, facts: ArchiveFacts) -> Result<Found<Archive>, StoreError> {
        self.settle().await?;
        if uptime_ms().saturating_sub(self.begun_ms) > REUSE_MS {
            self.check_parent().await?;
        }
        let parent_ms = self.parent.as_ref().map(|it| it.document.created_ms);
        let parent = self.parent.as_ref().map(|parent| parent.id);
        let head = catalog::head::<Archive>(&self.objects, &facts.lineage, facts.created_ms);
        let head = head.await?;
        let before = self.parent.as_ref().and_then(|parent| {
            let Archive {
                lineage,
                created_ms,
                counter,
                ..
            } = &parent.document;
            (*lineage == facts.lineage).then_some((*created_ms, *counter))
        });
        let counter =
            catalog::counter(&self.objects, &facts.lineage, before, head.as_ref()).await?;
        let head_ms = head.map(|head| head.created_ms);
        let mut document = Archive {
            format: FORMAT,
            // A parent of another lineage (a fallback) is no head to have moved away from.
            // One that was laid out anew meanwhile has the same time.
            sibling: head_ms.is_some_and(|head_ms| Some(head_ms) != parent_ms),
            original: None,
            counter,
            lineage: facts.lineage,
            created_ms: clock::successor(facts.created_ms, parent_ms, head_ms),
            parent,
            engine: facts.engine,
            larder: facts.larder,
            statistics: self.statistics,
            blobs: self.blobs,
            contents: facts.contents,
            measured: facts.measured,
            plan: facts.plan,
        };
        Box::pin(gather(&self.objects, &mut document)).await;
        // What a reader would refuse is not published.
        let (id, bytes) = document.encode();
        Archive::decode(id, &bytes)
            .map_err(|error| refused("the archive's document", error.to_string()))?;
        Box::pin(compact::settle(&self.objects, &document.blobs)).await?;
        let id = catalog::publish(&self.objects, &document).await?;
        Ok(Found { id, document })
    }
}

/// Stores the blobs of a document anew, if the store is to stay small and little is named of the packs that they are
/// in. What cannot be read stays where it is: whoever needs it will say so.
async fn gather(objects: &Objects, document: &mut Archive) {
    let gathered = async {
        let Some(least) = objects.least_live_percent() else {
            return Ok(None);
        };
        if !compact::is_scattered(objects, &document.blobs, least).await? {
            return Ok(None);
        }
        let reader = ArchiveReader::new(objects.clone(), Arc::new(document.clone()));
        let mut writer = ArchiveWriter::new(objects.clone(), None);
        for (name, blob) in &document.blobs {
            let content = reader.blob(name).expect("the archive has it");
            writer.blob(name, blob.bytes, content).await?;
        }
        Ok::<_, StoreError>(Some(writer.into_blobs().await?))
    };
    match gathered.await {
        Ok(Some((blobs, stored_bytes))) => {
            document.statistics.stored_bytes += stored_bytes;
            document.blobs = blobs;
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "not stored anew"),
    }
}

/// An error that names a blob, or what else is at fault.
fn refused(name: &str, why: impl Into<String>) -> StoreError {
    StoreError::Content {
        name: name.chars().take(BLOB_NAME_MAX_BYTES).collect(),
        why: why.into(),
    }
}

/// A blob's content in batches, counted.
struct Batches<'a, S> {
    name: &'a str,
    content: S,
    left: u64,
}

impl<S: Stream<Item = Result<Bytes, StoreError>> + Unpin> Batches<'_, S> {
    /// About [`BATCH_BYTES`], or what is left; nothing at the end.
    async fn next(&mut self) -> Result<Vec<Bytes>, StoreError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES {
            let Some(piece) = self.content.next().await else {
                if self.left > 0 {
                    return Err(refused(
                        self.name,
                        format!("it ended {} bytes early", self.left),
                    ));
                }
                break;
            };
            let piece = piece?;
            let Some(left) = self.left.checked_sub(piece.len() as u64) else {
                return Err(refused(self.name, "it has more bytes than were announced"));
            };
            self.left = left;
            bytes += piece.len();
            batch.push(piece);
        }
        Ok(batch)
    }
}
