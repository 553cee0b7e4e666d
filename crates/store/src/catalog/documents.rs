//! Documents in a store: published, found by their lineage, read, listed and marked.

use bytes::Bytes;
use larder_model::address;
use larder_model::document::Document;
use larder_model::ladder::Rung;
use larder_model::lineage::Lineage;
use larder_model::snapshot::Snapshot;

use crate::error::StoreError;
use crate::objects::Objects;
use crate::request::verified_whole;

/// Documents looked at on one rung before it is given up.
const CANDIDATES_PER_RUNG: usize = 4;
/// Jobs looked at on a rung that accepts any job.
const JOBS_PER_RUNG: usize = 32;
/// Documents that one listing of a store returns.
const LISTING_MAX: usize = 10_000;
/// Reads at once while listing.
const LISTING_READS: usize = 16;

/// A document that a ladder leads to, by name only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<D: Document = Snapshot> {
    /// Path of its object.
    pub path: String,
    /// When it was made (Unix time in milliseconds).
    pub created_ms: u64,
    /// Its id.
    pub id: D::Id,
}

/// A document that was read and verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<D: Document = Snapshot> {
    /// Its id.
    pub id: D::Id,
    /// What it says.
    pub document: D,
}

impl<D: Document> Candidate<D> {
    fn parse(folder: &str, name: &str) -> Option<Self> {
        let (created_ms, id) = address::parse_document(name)?;
        Some(Self {
            path: format!("{folder}/{name}"),
            created_ms,
            id,
        })
    }
}

/// The newest documents of a kind on a rung, newest first.
pub async fn candidates<D: Document>(
    objects: &Objects,
    rung: &Rung,
) -> Result<Vec<Candidate<D>>, StoreError> {
    match rung {
        Rung::Lineage(lineage) => newest(objects, &address::lineage(D::KIND, lineage)).await,
        Rung::AnyJob(lineage) => {
            let scope = address::scope(D::KIND, lineage);
            let mut all = Vec::new();
            for job in objects.folders(&scope, JOBS_PER_RUNG).await? {
                all.extend(newest(objects, &format!("{scope}/{job}")).await?);
            }
            all.sort_by_key(|candidate| std::cmp::Reverse(candidate.created_ms));
            all.truncate(CANDIDATES_PER_RUNG);
            Ok(all)
        }
    }
}

async fn newest<D: Document>(
    objects: &Objects,
    folder: &str,
) -> Result<Vec<Candidate<D>>, StoreError> {
    let names = objects.first_names(folder, CANDIDATES_PER_RUNG).await?;
    let parsed = names
        .iter()
        .filter_map(|name| Candidate::parse(folder, name));
    Ok(parsed.collect())
}

/// The newest document of exactly this lineage: its head.
pub async fn head<D: Document>(
    objects: &Objects,
    lineage: &Lineage,
) -> Result<Option<D::Id>, StoreError> {
    let newest = newest::<D>(objects, &address::lineage(D::KIND, lineage)).await?;
    Ok(newest.first().map(|candidate| candidate.id))
}

/// Reads a document and verifies that it is the one its name promises.
pub async fn read<D: Document>(
    objects: &Objects,
    candidate: &Candidate<D>,
) -> Result<Found<D>, StoreError> {
    let id = candidate.id;
    let read = || objects.get(&candidate.path, D::MAX_BYTES);
    let decode = |bytes: Bytes| async move {
        D::decode(id, &bytes).map_err(StoreError::format(&candidate.path))
    };
    let document = verified_whole(read, decode, || objects.size(&candidate.path));
    let document = document.await?;
    Ok(Found { id, document })
}

/// Publishes a document. Everything that it refers to must be stored already; once this returns,
/// it is durable and any job may find it.
pub async fn publish<D: Document>(objects: &Objects, document: &D) -> Result<D::Id, StoreError> {
    let (id, bytes) = document.encode();
    objects.put(&document.path(id), bytes).await?;
    Ok(id)
}

/// Every document of a kind in a store, newest first, with the faults of those that cannot be read.
pub async fn list<D: Document>(
    objects: &Objects,
) -> Result<(Vec<Found<D>>, Vec<StoreError>), StoreError> {
    use futures_util::StreamExt as _;
    let paths = objects.walk(&address::folder(D::KIND), LISTING_MAX).await?;
    let named = paths.iter().filter_map(|path| {
        let (folder, name) = path.rsplit_once('/')?;
        Candidate::<D>::parse(folder, name)
    });
    let reads = named.map(|candidate| async move { read(objects, &candidate).await });
    let results: Vec<_> = futures_util::stream::iter(reads)
        .buffer_unordered(LISTING_READS)
        .collect()
        .await;
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => found.push(one),
            Err(error) => faults.push(error),
        }
    }
    found.sort_by_key(|one| std::cmp::Reverse((one.document.created_ms(), one.id)));
    Ok((found, faults))
}
