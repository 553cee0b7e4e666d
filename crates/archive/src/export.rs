//! The engine's export, taken apart as it arrives. What the store already has is read and dropped.
//!
//! A graph driver writes all of an export to its disk before it sends the first byte (moby
//! `image/tarexport/save.go`, `save`). So images that share little are asked for at once in two
//! requests: the smaller one is stored while the engine still writes the larger.

use std::collections::HashSet;

use larder_docker::streams::{Contents, Documents, ExportReader, in_two};
use larder_docker::{AnswerStream, ApiError, Chains, Image, ImageStore, Remote};
use larder_local::people::{Progress, Voice};
use larder_store::ArchiveWriter;

use crate::{ArchiveError, Job, Result};

/// What is exported, and what the archive before this one holds.
pub(crate) struct Export<'a> {
    pub(crate) engine: &'a Remote,
    pub(crate) chains: Chains,
    pub(crate) former: Option<&'a Contents>,
    pub(crate) voice: &'a dyn Voice,
}

/// Those of these images whose export arrives whole. Containerd's store sends before it has looked at all that it was
/// asked for, so one image that lacks a layer breaks off the export of all: it is found, told, and left out.
pub(crate) async fn whole(job: &Job, names: &[String], voice: &dyn Voice) -> Result<Vec<String>> {
    let mut good = Vec::new();
    for name in names {
        match read(job, name).await {
            Ok(()) => good.push(name.clone()),
            Err(error) if error.is_of_export() => voice.warning(&not_saved(name, &error)),
            Err(ArchiveError::Engine(error)) if is_refusal(&error) => {
                voice.warning(&not_saved(name, &error));
            }
            // An engine that is gone says nothing of its images.
            Err(error) => return Err(error),
        }
    }
    Ok(good)
}

/// Reads an image's export, and keeps nothing of it.
async fn read(job: &Job, name: &String) -> Result<()> {
    let stream = job.engine.export(std::slice::from_ref(name)).await?;
    let mut reader = ExportReader::new(stream, job.image_store(), None);
    let mut came = HashSet::new();
    while let Some(blob) = reader.next().await? {
        came.insert(blob.name.clone());
        blob.skip().await?;
    }
    let (contents, _) = reader.finish().await?;
    let mut named = contents.blobs.into_keys();
    let lacking = named.find(|blob| !came.contains(blob));
    lacking.map_or(Ok(()), |blob| Err(ArchiveError::NotExported(blob)))
}

fn not_saved(name: &str, why: &dyn std::fmt::Display) -> String {
    format!("image {name} is not saved: {why}")
}

fn is_refusal(error: &ApiError) -> bool {
    matches!(error, ApiError::Refused { .. })
}

struct Begun {
    stream: AnswerStream,
    /// What it will bring, with the names asked for; nothing if that is not known.
    images: Vec<(Image, Vec<String>)>,
}

impl Export<'_> {
    /// Stores these images; says what they are, and what their documents are.
    pub(crate) async fn take(
        &self,
        names: &[String],
        writer: &mut ArchiveWriter,
    ) -> Result<(Contents, Documents)> {
        let (ahead, rest) = self.requests(names).await?;
        if ahead.is_empty() {
            return self.request(&rest, 0, writer).await;
        }
        let begun = async { Ok(self.begin(&rest).await?) };
        let (first, begun) = tokio::try_join!(self.request(&ahead, 0, writer), begun)?;
        let (contents, mut documents) = first;
        let read = contents.blobs.values().sum();
        let (others, more) = self.store(begun, read, writer).await?;
        documents.extend(more);
        Ok((contents.and(others)?, documents))
    }

    /// The images of both requests. The first has none where two would not pay.
    async fn requests(&self, names: &[String]) -> Result<(Vec<String>, Vec<String>), ApiError> {
        let streamed = self.engine.about().image_store.kind() == ImageStore::Containerd;
        // An image's link to its parent is only exported along with that.
        if streamed || self.chains == Chains::Parents {
            return Ok((Vec::new(), names.to_vec()));
        }
        let mut images = Vec::with_capacity(names.len());
        for name in names {
            let steps = self.engine.history(name).await?.into_iter().rev();
            let steps = steps.map(|step| (step.created_by, step.bytes));
            images.push((name.clone(), steps.collect::<Vec<_>>()));
        }
        Ok(in_two(images))
    }

    async fn request(
        &self,
        names: &[String],
        read: u64,
        writer: &mut ArchiveWriter,
    ) -> Result<(Contents, Documents)> {
        let begun = self.begin(names).await?;
        self.store(begun, read, writer).await
    }

    /// Asks for images. What a graph driver's images consist of is known before they come.
    async fn begin(&self, names: &[String]) -> Result<Begun, ApiError> {
        let (stream, names) = self.ask(names).await?;
        let mut images: Vec<(Image, Vec<String>)> = Vec::new();
        let known = match self.engine.about().image_store.kind() {
            ImageStore::Overlay2 => &names[..],
            ImageStore::Containerd => &[],
        };
        for name in known {
            let Some(image) = self.engine.inspect(name).await? else {
                continue;
            };
            // One that is asked for by its id comes without names.
            let tag = Some(name.clone()).filter(|name| *name != image.id);
            match images.iter_mut().find(|(other, _)| other.id == image.id) {
                Some((_, tags)) => tags.extend(tag),
                None => images.push((image, tag.into_iter().collect())),
            }
        }
        Ok(Begun { stream, images })
    }

    /// The engine's export, and what is in it. An image that the engine cannot export keeps it from
    /// exporting any: it is found, told, and left out.
    async fn ask(&self, names: &[String]) -> Result<(AnswerStream, Vec<String>), ApiError> {
        let refusal = match self.engine.export(names).await {
            Ok(stream) => return Ok((stream, names.to_vec())),
            Err(error) if names.len() > 1 && is_refusal(&error) => error,
            Err(error) => return Err(error),
        };
        let mut good = Vec::new();
        for name in names {
            match self.engine.export(std::slice::from_ref(name)).await {
                Ok(_) => good.push(name.clone()),
                Err(error) if is_refusal(&error) => {
                    self.voice.warning(&not_saved(name, &error));
                }
                Err(error) => return Err(error),
            }
        }
        if good.is_empty() || good.len() == names.len() {
            return Err(refusal);
        }
        Ok((self.engine.export(&good).await?, good))
    }

    /// Stores what an export brings. `read` is what came before.
    async fn store(
        &self,
        begun: Begun,
        mut read: u64,
        writer: &mut ArchiveWriter,
    ) -> Result<(Contents, Documents)> {
        let store = self.engine.about().image_store.kind();
        let mut reader = ExportReader::new(begun.stream, store, self.former);
        if !begun.images.is_empty() {
            let held = |blob: &str| writer.wrote(blob).or_else(|| writer.has(blob));
            reader.expect(&begun.images, held);
        }
        while let Some(blob) = reader.next().await? {
            let (name, size) = (blob.name.clone(), blob.size);
            let written = writer.wrote(&name) == Some(size);
            if written || writer.has(&name) == Some(size) && writer.keep(&name) {
                blob.skip().await?;
            } else {
                writer.blob(&name, size, blob.into_stream()).await?;
            }
            read += size;
            self.voice.progress(Progress::Moved {
                doing: "saving".to_owned(),
                bytes: read,
            });
        }
        self.voice.progress(Progress::Over);
        let (contents, documents) = reader.finish().await?;
        // Blobs that the engine left out because the parent archive has them.
        for blob in contents.blobs.keys() {
            if writer.wrote(blob).is_none() && !writer.keep(blob) {
                return Err(ArchiveError::NotExported(blob.clone()));
            }
        }
        Ok((contents, documents))
    }
}
