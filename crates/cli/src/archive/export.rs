//! The engine's export, taken apart as it arrives; what the store holds is drained.
//!
//! A graph driver writes all of an export to its disk before it sends the first byte (moby
//! `image/tarexport/save.go`, `save`). So images that share little are asked for at once in two
//! requests: the smaller one is stored while the engine still writes the larger.

use larder_docker::streams::{Contents, Documents, ExportReader, in_two};
use larder_docker::{ApiError, Chains, ExportStream, Image, ImageStore, Remote};
use larder_store::ArchiveWriter;

use super::text;
use crate::report::Report;

/// What is exported, and what the archive before this one holds.
pub struct Export<'a> {
    pub engine: &'a Remote,
    pub chains: Chains,
    pub former: Option<&'a Contents>,
    pub report: &'a Report,
}

/// A request that is under way.
struct Begun {
    stream: ExportStream,
    /// What it will bring, with the names asked for; nothing if that is not known.
    images: Vec<(Image, Vec<String>)>,
}

impl Export<'_> {
    /// Stores these images; says what they are, and what their documents are.
    pub async fn take(
        &self,
        names: &[String],
        writer: &mut ArchiveWriter,
    ) -> Result<(Contents, Documents), String> {
        let (ahead, rest) = self.requests(names).await.map_err(text)?;
        if ahead.is_empty() {
            return self.request(&rest, 0, writer).await;
        }
        let begun = async { self.begin(&rest).await.map_err(text) };
        let (first, begun) = tokio::try_join!(self.request(&ahead, 0, writer), begun)?;
        let (contents, mut documents) = first;
        let read = contents.blobs.values().sum();
        let (others, more) = self.store(begun, read, writer).await?;
        documents.extend(more);
        Ok((contents.and(others).map_err(text)?, documents))
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
    ) -> Result<(Contents, Documents), String> {
        let begun = self.begin(names).await.map_err(text)?;
        self.store(begun, read, writer).await
    }

    /// Asks for images. Of a graph driver's it is known before what they will consist of.
    async fn begin(&self, names: &[String]) -> Result<Begun, ApiError> {
        let mut images: Vec<(Image, Vec<String>)> = Vec::new();
        let known = match self.engine.about().image_store.kind() {
            ImageStore::Overlay2 => names,
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
        let stream = self.engine.export(names).await?;
        Ok(Begun { stream, images })
    }

    /// Stores what an export brings. `read` is what came before.
    async fn store(
        &self,
        begun: Begun,
        mut read: u64,
        writer: &mut ArchiveWriter,
    ) -> Result<(Contents, Documents), String> {
        let store = self.engine.about().image_store.kind();
        let mut reader = ExportReader::new(begun.stream, store, self.former);
        if !begun.images.is_empty() {
            let held = |blob: &str| writer.wrote(blob).or_else(|| writer.has(blob));
            reader.expect(&begun.images, held);
        }
        while let Some(blob) = reader.next().await.map_err(text)? {
            let (name, size) = (blob.name().to_owned(), blob.size());
            let written = writer.wrote(&name) == Some(size);
            if written || writer.has(&name) == Some(size) && writer.keep(&name) {
                blob.skip().await.map_err(text)?;
            } else {
                let stored = writer.blob(&name, size, blob.into_stream()).await;
                stored.map_err(text)?;
            }
            read += size;
            self.report.moved("saving", read);
        }
        self.report.clear_progress();
        let (contents, documents) = reader.finish().await.map_err(text)?;
        // What did not have to come.
        for blob in contents.blobs.keys() {
            if writer.wrote(blob).is_none() && !writer.keep(blob) {
                return Err(format!("{blob} is not in the engine's export"));
            }
        }
        Ok((contents, documents))
    }
}
