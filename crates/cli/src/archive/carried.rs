//! What the parent archive's images of stages know of their steps, carried on into those that were
//! saved: engines export less of it with each build that came out of the cache.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use larder_engine::archive::{Contents, Documents, SavedImage, carry_over};
use larder_model::archive::Archive;
use larder_store::objects::Objects;
use larder_store::{ArchiveReader, ArchiveWriter};

use super::stages;

/// Longer configurations are not looked into: `BuildKit`'s own bound for a cache's records is 1 MiB.
const CONFIGURATION_BYTES_MAX: u64 = 8 << 20;

/// Completes the configurations in `contents`. What the parent archive says that makes no sense is
/// left out: it is a step that is built again.
pub async fn carry_on(
    contents: &mut Contents,
    documents: &Documents,
    former: &Contents,
    parent: &Archive,
    objects: &Objects,
    writer: &mut ArchiveWriter,
) -> Result<(), String> {
    let reader = ArchiveReader::new(objects.clone(), Arc::new(parent.clone()));
    for at in 0..contents.images.len() {
        let image = &contents.images[at];
        let Some(before) = same_stage(image, former) else {
            continue;
        };
        let Some(configuration) = documents.get(&image.documents[0]) else {
            continue;
        };
        let known = read(&reader, &before.documents[0], former).await?;
        let Some(both) = known.and_then(|known| carry_over(configuration, &known)) else {
            continue;
        };
        let Some(name) = contents.configure(at, &both) else {
            continue;
        };
        if !writer.keep(&name) {
            let size = both.len() as u64;
            let content = stream::iter([Ok::<_, String>(Bytes::from(both))]);
            let stored = writer.blob(&name, size, content).await;
            stored.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// The parent archive's image of the same stage, unless this is that one.
fn same_stage<'a>(image: &SavedImage, former: &'a Contents) -> Option<&'a SavedImage> {
    // An image with a name of the user's stays as it is.
    let ours = !image.tags.is_empty() && image.tags.iter().all(|tag| stages::is_ours(tag));
    let before = image.tags.iter().filter(|_| ours);
    before
        .filter_map(|tag| former.image(tag))
        .find(|before| before.id != image.id)
}

async fn read(
    reader: &ArchiveReader,
    blob: &str,
    former: &Contents,
) -> Result<Option<Vec<u8>>, String> {
    let size = former.blobs.get(blob).copied().unwrap_or_default();
    let Some(stream) = reader
        .blob(blob)
        .filter(|_| size <= CONFIGURATION_BYTES_MAX)
    else {
        return Ok(None);
    };
    let pieces: Result<Vec<Bytes>, _> = stream.try_collect().await;
    let pieces = pieces.map_err(|error| format!("the parent archive: {error}"))?;
    Ok(Some(pieces.concat()))
}
