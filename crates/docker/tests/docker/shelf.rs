//! An archive in memory: what a store does, without one.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use larder_docker::streams::{
    Contents, Documents, ExportReader, Held, LoadPlan, carry_over, told_apart,
};
use larder_docker::{BoxError, Chains, Remote};

/// Blobs by name, and what they are.
#[derive(Clone)]
pub struct Shelf {
    pub blobs: Arc<HashMap<String, Bytes>>,
    pub contents: Contents,
    /// The blobs that were read from the engine, and not only recognised.
    pub stored: usize,
}

/// What a restore did.
pub struct Restored {
    pub plan: LoadPlan,
    pub loaded: Vec<String>,
}

/// Saves the engine's images but for `bases`.
pub async fn save(
    engine: &Remote,
    bases: &[&str],
    chains: Chains,
    parent: Option<&Shelf>,
) -> Shelf {
    let bases: Vec<String> = bases.iter().map(ToString::to_string).collect();
    let selection = engine
        .select(&bases, chains)
        .await
        .expect("they are listed");
    save_images(engine, &selection.images, parent).await
}

/// Saves these images.
pub async fn save_images(engine: &Remote, images: &[String], parent: Option<&Shelf>) -> Shelf {
    let export = engine.export(images).await.expect("it is exported");
    let kind = engine.about().image_store.kind();
    let mut reader = ExportReader::new(export, kind, parent.map(|parent| &parent.contents));
    let (mut blobs, mut stored) = (HashMap::new(), 0);
    while let Some(mut blob) = reader.next().await.expect("it is read") {
        let name = blob.name.clone();
        let known = parent.and_then(|parent| parent.blobs.get(&name));
        if let Some(known) = known.filter(|known| known.len() as u64 == blob.size) {
            blobs.insert(name, known.clone());
            blob.skip().await.expect("it is skipped");
            continue;
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = blob.chunk().await.expect("it is read") {
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(bytes.len() as u64, blob.size);
        stored += 1;
        blobs.insert(name, bytes.freeze());
    }
    let (mut contents, documents) = reader.finish().await.expect("it is understood");
    carry_on(&mut contents, &documents, parent, &mut blobs);
    let text = contents.to_value();
    assert_eq!(
        Contents::from_value(&text).expect("it is read back"),
        contents
    );
    Shelf {
        blobs: Arc::new(blobs),
        contents,
        stored,
    }
}

/// What the parent's images know of their steps, under the same names; and records that are no other image's.
fn carry_on(
    contents: &mut Contents,
    documents: &Documents,
    parent: Option<&Shelf>,
    blobs: &mut HashMap<String, Bytes>,
) {
    for at in 0..contents.images.len() {
        let image = &contents.images[at];
        let (Some(own), Some(tag)) = (documents.get(&image.documents[0]), image.tags.first())
        else {
            continue;
        };
        let both = parent.and_then(|parent| {
            let before = image.tags.iter().find_map(|it| parent.contents.image(it))?;
            carry_over(own, &parent.blobs[&before.documents[0]])
        });
        if let Some(told) = told_apart(both.as_deref().unwrap_or(own), tag)
            && let Some(name) = contents.configure(at, &told)
        {
            blobs.insert(name, told.into());
        }
    }
}

/// Loads what the engine lacks.
pub async fn restore(engine: &Remote, shelf: &Shelf) -> Restored {
    let held = Held::ask(engine).await.expect("it answers");
    let plan = LoadPlan::new(&shelf.contents, &held, |_| None);
    let loaded = load(engine, shelf, &plan).await.expect("it is loaded");
    Restored { plan, loaded }
}

pub async fn load(
    engine: &Remote,
    shelf: &Shelf,
    plan: &LoadPlan,
) -> larder_docker::Result<Vec<String>> {
    let blobs = Arc::clone(&shelf.blobs);
    let open = move |name: &str| {
        let whole = blobs.get(name).cloned().ok_or("it is not there");
        let whole = whole.map_err(BoxError::from);
        // In pieces, as from a store.
        let pieces: Vec<_> = match whole {
            Ok(whole) => whole
                .chunks(100_000)
                .map(|it| Ok(whole.slice_ref(it)))
                .collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(pieces)
    };
    engine.load(plan.clone().stream(open)).await
}
