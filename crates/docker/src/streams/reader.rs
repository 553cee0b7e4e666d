//! An engine's export, taken apart as it arrives.
//!
//! One pass, bounded memory: only documents are kept, by their size and their first byte. Whatever order
//! the entries have, each blob is handed out once; what is not asked for is skipped.

use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};

use super::error::Result;
use super::gather::{Documents, Gather};
use super::image_set::{BLOBS_MAX, Contents, is_blob_name};
use super::tar::{BLOCK, EXTENSION_BYTES_MAX, Header, Kind, Records, damaged, padding, text};
use crate::error::ApiError;
use crate::image_store::ImageStore;
use crate::remote::Image;

/// Reads an export.
pub struct ExportReader<S> {
    input: S,
    /// What came and was not used yet.
    piece: Bytes,
    /// How many bytes were used.
    at: u64,
    /// What is left of the present entry: content, then padding.
    left: u64,
    padding: u64,
    /// Whether the tar's own end was seen.
    ended: bool,
    gather: Gather,
    /// Entries that the parent archive holds under another name.
    known: BTreeMap<String, (String, u64)>,
    image_store: ImageStore,
}

/// A blob of the export: a layer or a document. Dropping it skips what was not read.
pub struct Blob<'a, S> {
    reader: &'a mut ExportReader<S>,
    /// What the archive calls it. The parent's blob of that name and this size has the same bytes:
    /// engines name blobs after their contents, or after those of the layers below and their own.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
}

impl<S> ExportReader<S>
where
    S: Stream<Item = std::result::Result<Bytes, ApiError>> + Unpin + Send,
{
    /// Of an engine with such a store. `parent` is what the archive holds that this one continues:
    /// before Docker 25 the same layer may stand under another name in every export.
    pub fn new(input: S, image_store: ImageStore, parent: Option<&Contents>) -> Self {
        let known = parent.into_iter().flat_map(|parent| {
            parent.aliases.iter().filter_map(|(entry, blob)| {
                Some((entry.clone(), (blob.clone(), *parent.blobs.get(blob)?)))
            })
        });
        Self {
            known: known.collect(),
            input,
            piece: Bytes::new(),
            at: 0,
            left: 0,
            padding: 0,
            ended: false,
            gather: Gather::default(),
            image_store,
        }
    }

    /// Lets the reader end when all has come that matters: of these images of a graph driver, each with
    /// the names that it is exported by, the blobs for which `held` gives no size. Most of an export is
    /// layers that the parent archive holds.
    pub fn expect(&mut self, images: &[(Image, Vec<String>)], held: impl Fn(&str) -> Option<u64>) {
        self.gather.expect(images, held);
    }

    /// The next blob; `None` at the end, or when all has come that was [expected](Self::expect).
    pub async fn next(&mut self) -> Result<Option<Blob<'_, S>>> {
        loop {
            self.finish_entry().await?;
            // Only now: the last document that was expected had to be read to its end.
            if self.gather.has_all() {
                self.ended = true;
                return Ok(None);
            }
            let Some(header) = self.header().await? else {
                return Ok(None);
            };
            (self.left, self.padding) = (header.size, padding(header.size));
            if self.gather.sizes.len() > BLOBS_MAX {
                return Err(damaged(self.at, format!("more than {BLOBS_MAX} entries")));
            }
            let entry = header.name.trim_start_matches("./");
            match header.kind {
                Kind::Link => self.gather.link(entry, &header.link),
                Kind::File if is_blob(entry) => {
                    let name = self.blob_name(entry, header.size);
                    self.gather.begin(entry, &name, header.size);
                    return Ok(Some(Blob {
                        name,
                        size: header.size,
                        reader: self,
                    }));
                }
                Kind::File if is_list(entry) => self.gather.begin(entry, entry, header.size),
                _ => {}
            }
        }
    }

    /// Reads on to the end, or to where all that was expected has come: what the archive holds, and
    /// what its documents are.
    pub async fn finish(mut self) -> Result<(Contents, Documents)> {
        while self.next().await?.is_some() {}
        if !self.ended {
            return Err(damaged(self.at, "it ends before its end marker"));
        }
        self.gather.contents(self.image_store)
    }

    /// A blob is called what its entry is called, or what the parent archive calls the same entry.
    fn blob_name(&self, entry: &str, size: u64) -> String {
        match self.known.get(entry) {
            Some((blob, known)) if *known == size => blob.clone(),
            _ => entry.to_owned(),
        }
    }

    /// The next entry's header, with what the headers before it say of it.
    async fn header(&mut self) -> Result<Option<Header>> {
        let mut records = Records::default();
        // Headers of headers come first, in any number and order; each speaks of the entry that follows
        // them all. So names and sizes are gathered until that entry's own header comes.
        loop {
            if self.ended || !self.more().await? {
                return Ok(None);
            }
            let block = self.take(BLOCK).await?;
            let block: &[u8; BLOCK] = block[..].try_into().expect("that much was taken");
            let parsed = Header::parse(block).map_err(|reason| damaged(self.at, reason))?;
            let Some(mut header) = parsed else {
                self.ended = true;
                // More zeros, up to the size of a record.
                while self.more().await? {
                    self.at += self.piece.len() as u64;
                    self.piece.clear();
                }
                return Ok(None);
            };
            match header.kind {
                Kind::Pax => {
                    let bytes = self.extension(header.size).await?;
                    let read = records.parse(&bytes);
                    read.map_err(|reason| damaged(self.at, reason))?;
                }
                Kind::LongName => {
                    records.path = Some(text(&self.extension(header.size).await?));
                }
                Kind::LongLink => {
                    records.link = Some(text(&self.extension(header.size).await?));
                }
                Kind::File | Kind::Link | Kind::Other => {
                    // They hold what did not fit the fields.
                    header.name = records.path.unwrap_or(header.name);
                    header.link = records.link.unwrap_or(header.link);
                    // Other kinds have no content, whatever is said of their size.
                    if header.kind == Kind::File {
                        header.size = records.size.unwrap_or(header.size);
                    }
                    return Ok(Some(header));
                }
            }
        }
    }

    async fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > EXTENSION_BYTES_MAX {
            return Err(damaged(self.at, format!("a header of {size} bytes")));
        }
        let mut bytes = self.take((size + padding(size)) as usize).await?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    /// Skips what is left of the present entry; documents are kept all the same.
    async fn finish_entry(&mut self) -> Result<()> {
        while self.chunk().await?.is_some() {}
        self.gather.end();
        let padding = std::mem::take(&mut self.padding);
        self.take(padding as usize).await.map(drop)
    }

    /// The next piece of the present entry's content.
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        if !self.more().await? {
            return Err(damaged(self.at, "it ends in the middle of an entry"));
        }
        let length = self.left.min(self.piece.len() as u64);
        let chunk = self.piece.split_to(length as usize);
        self.left -= length;
        self.at += length;
        self.gather.piece(&chunk)?;
        Ok(Some(chunk))
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut taken = Vec::with_capacity(length);
        while taken.len() < length {
            if !self.more().await? {
                return Err(damaged(self.at, "it ends in the middle of an entry"));
            }
            let part = self.piece.len().min(length - taken.len());
            taken.extend_from_slice(&self.piece[..part]);
            self.piece.advance(part);
            self.at += part as u64;
        }
        Ok(taken)
    }

    /// Whether there are unused bytes, waiting for some if need be.
    async fn more(&mut self) -> Result<bool> {
        while self.piece.is_empty() {
            match self.input.next().await {
                None => return Ok(false),
                Some(piece) => self.piece = piece?,
            }
        }
        Ok(true)
    }
}

impl<'a, S> Blob<'a, S>
where
    S: Stream<Item = std::result::Result<Bytes, ApiError>> + Unpin + Send,
{
    /// The next bytes; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.reader.chunk().await
    }

    /// Its bytes as a stream. One that is dropped early skips the rest.
    pub fn into_stream(self) -> BoxStream<'a, Result<Bytes>> {
        stream::try_unfold(self, |mut blob| async move {
            Ok(blob.chunk().await?.map(|chunk| (chunk, blob)))
        })
        .boxed()
    }

    /// Skips it: the parent archive holds it.
    pub async fn skip(mut self) -> Result<()> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }
}

/// Layers, configurations and manifests; not the files that only engines before 1.10 read (`json`,
/// `VERSION`).
fn is_blob(entry: &str) -> bool {
    if !is_blob_name(entry) || is_list(entry) {
        return false;
    }
    let configuration = entry.strip_suffix(".json");
    entry.starts_with("blobs/")
        || entry.ends_with("/layer.tar")
        || configuration.is_some_and(|id| !id.contains('/'))
}

/// What says which images there are.
fn is_list(entry: &str) -> bool {
    matches!(entry, "manifest.json" | "index.json")
}
