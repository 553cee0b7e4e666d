//! Making a document of one scope the head of another: a new document that names the same objects.

use larder_model::address::{Kind, segment};
use larder_model::archive::Archive;
use larder_model::clock;
use larder_model::document::Document;
use larder_model::ladder::Rung;
use larder_model::lineage::Lineage;
use larder_model::snapshot::Snapshot;
use larder_store::catalog::{Found, Reader, Walk};
use larder_store::{Objects, StoreError, catalog};
use serde::Serialize;

use crate::documents::{Listed, scopes_meant_by};
use crate::reach;

/// A document that became another scope's head.
#[derive(Debug, Serialize)]
pub struct Promoted {
    /// The id of the document that it was.
    pub from: String,
    /// The id of the new one, unless nothing was written.
    pub to: Option<String>,
    /// Its lineage.
    pub lineage: Lineage,
}

/// The scope that a name means: one that has something, else the branch.
pub fn target(name: &str, documents: &[Listed]) -> String {
    let mut meant = scopes_meant_by(name);
    let found = meant.iter().position(|scope| {
        let scope = segment(scope);
        documents.iter().any(|one| one.place().scope == scope)
    });
    meant.swap_remove(found.unwrap_or(meant.len() - 1))
}

/// Makes the newest usable document of the lineage of `of` the head of the same lineage in `scope`; nothing if
/// none of them can be used. With `dry_run` nothing is written.
pub async fn promote(
    objects: &Objects,
    of: &Listed,
    scope: &str,
    reader: &Reader,
    dry_run: bool,
) -> Result<Option<Promoted>, StoreError> {
    match of.place().kind {
        Kind::Snapshot => newest::<Snapshot>(objects, of, scope, reader, dry_run).await,
        Kind::Archive => newest::<Archive>(objects, of, scope, reader, dry_run).await,
    }
}

/// A document that can be another scope's.
trait Movable: Document {
    /// The same in another lineage, as a child of itself.
    fn moved(found: &Found<Self>, lineage: Lineage, created_ms: u64, counter: u64) -> Self;
}

/// Both kinds of document have these fields, and no trait that sets them.
macro_rules! movable {
    ($($kind:ty),*) => {$(
        impl Movable for $kind {
            fn moved(found: &Found<Self>, lineage: Lineage, created_ms: u64, counter: u64) -> Self {
                Self {
                    lineage,
                    created_ms,
                    counter,
                    parent: Some(found.id),
                    sibling: false,
                    original: None,
                    ..found.document.clone()
                }
            }
        }
    )*};
}

movable! { Snapshot, Archive }

async fn newest<D: Movable>(
    objects: &Objects,
    of: &Listed,
    scope: &str,
    reader: &Reader,
    dry_run: bool,
) -> Result<Option<Promoted>, StoreError> {
    let Some(first) = reach::document::<D>(objects, of).await? else {
        return Ok(None);
    };
    let rung = Rung::Lineage(first.lineage().clone());
    let walked = Walk::<D>::new(objects, vec![rung], reader)
        .first(async |found| Ok(found))
        .await;
    let Some(found) = walked.outcome? else {
        return Ok(None);
    };
    let lineage = Lineage {
        scope: scope.to_owned(),
        ..found.document.lineage().clone()
    };
    let head = catalog::head::<D>(objects, &lineage, reader.now_ms).await?;
    let counter = catalog::counter(objects, &lineage, None, head.as_ref()).await?;
    let head_ms = head.map(|head| head.created_ms);
    let parent_ms = Some(found.document.created_ms());
    let created_ms = clock::successor(reader.now_ms, parent_ms, head_ms);
    let document = D::moved(&found, lineage.clone(), created_ms, counter);
    let to = if dry_run {
        None
    } else {
        Some(catalog::publish(objects, &document).await?.to_string())
    };
    let from = found.id.to_string();
    Ok(Some(Promoted { from, to, lineage }))
}
