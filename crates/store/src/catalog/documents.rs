//! Documents in a store: published, found by their lineage, read, listed and marked.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use larder_model::document::{self, Document};
use larder_model::ladder::Rung;
use larder_model::lineage::Lineage;
use larder_model::snapshot::Snapshot;
use larder_model::{address, clock};

use super::copies::Copies;
use super::sweeps;
use larder_objects::{Objects, StoreError, verified_whole};

/// Documents of a lineage that are looked at, by name: one request. Jobs of newer engines may have saved
/// many since the last one that this job can use; its own list is longer than anybody waits for.
const NAMES_PER_LINEAGE: usize = 100;
/// Jobs looked at on a rung that accepts any job.
const JOBS_PER_RUNG: usize = 32;
/// Documents that one listing of a store returns.
const LISTING_MAX: usize = 10_000;
/// Most bytes of documents that it reads: some hundred times what a large store has.
const LISTING_MAX_BYTES: usize = 256 * 1024 * 1024;
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

/// The newest documents of a kind on a rung, in the order in which they are tried (see
/// [`larder_model::clock`]).
pub async fn candidates<D: Document>(
    objects: &Objects,
    rung: &Rung,
    now_ms: u64,
) -> Result<Vec<Candidate<D>>, StoreError> {
    let mut all = match rung {
        Rung::Lineage(lineage) => {
            newest(objects, address::lineage(D::KIND, lineage), now_ms).await?
        }
        Rung::AnyJob(lineage) => {
            let scope = address::scope(D::KIND, lineage);
            let own = address::lineage(D::KIND, lineage);
            let jobs = objects.folders(&scope, JOBS_PER_RUNG).await?;
            let others = jobs.iter().map(|job| format!("{scope}/{job}"));
            let listings = others
                .filter(|folder| *folder != own)
                .map(|folder| newest(objects, folder, now_ms));
            let listed = futures_util::future::try_join_all(listings).await?;
            listed.into_iter().flatten().collect()
        }
    };
    sort(&mut all, now_ms);
    all.truncate(NAMES_PER_LINEAGE);
    Ok(all)
}

/// Sorts candidates as they are tried.
pub(super) fn sort<D: Document>(candidates: &mut [Candidate<D>], now_ms: u64) {
    candidates.sort_by_key(|candidate| clock::preference(candidate.created_ms, now_ms));
}

async fn newest<D: Document>(
    objects: &Objects,
    folder: String,
    now_ms: u64,
) -> Result<Vec<Candidate<D>>, StoreError> {
    let mut names = objects.first_names(&folder, "", NAMES_PER_LINEAGE).await?;
    // Names of documents that are ahead of their time come first, and could hide all others.
    let ahead = address::ahead(now_ms);
    if names.len() == NAMES_PER_LINEAGE && names.last().is_some_and(|last| *last < ahead) {
        let others = objects.first_names(&folder, &ahead, NAMES_PER_LINEAGE);
        names.extend(others.await?);
    }
    let parsed = names.iter().map(|name| Candidate::parse(&folder, name));
    Ok(parsed.flatten().collect())
}

/// The head of exactly this lineage: what the next job tries first.
pub async fn head<D: Document>(
    objects: &Objects,
    lineage: &Lineage,
    now_ms: u64,
) -> Result<Option<Candidate<D>>, StoreError> {
    let rung = Rung::Lineage(lineage.clone());
    let candidates = candidates(objects, &rung, now_ms).await?;
    Ok(candidates.into_iter().next())
}

/// Reads a document and verifies that it is the one its name promises, where it says that it is, and signed by
/// somebody who is trusted: what another lineage's jobs wrote stays theirs, wherever somebody copied it to.
pub async fn read<D: Document>(
    objects: &Objects,
    candidate: &Candidate<D>,
) -> Result<Found<D>, StoreError> {
    read_beside(objects, candidate, &Copies::none()).await
}

/// The same; what is among these copies is not asked for.
pub(super) async fn read_beside<D: Document>(
    objects: &Objects,
    candidate: &Candidate<D>,
    copies: &Copies<D>,
) -> Result<Found<D>, StoreError> {
    Ok(read_counted(objects, candidate, copies).await?.0)
}

/// The same, with the bytes that it has.
async fn read_counted<D: Document>(
    objects: &Objects,
    candidate: &Candidate<D>,
    copies: &Copies<D>,
) -> Result<(Found<D>, usize), StoreError> {
    let id = candidate.id;
    let (document, bytes) = match copies.document(id) {
        Some(read) => read,
        None => read_or_retired(objects, candidate).await?,
    };
    if document.path(id) != candidate.path {
        return Err(StoreError::Contradiction {
            path: candidate.path.clone(),
            why: format!(
                "it was made for {} at another time or place than its name says",
                document.lineage()
            ),
        });
    }
    let scope = &document.lineage().scope;
    let keys = objects.keys();
    keys.check(D::OBJECT, &candidate.path, scope, &bytes)?;
    Ok((Found { id, document }, bytes.len()))
}

/// Reads a document where it was listed. One that went since holds what it names for as long as a job takes.
async fn read_or_retired<D: Document>(
    objects: &Objects,
    candidate: &Candidate<D>,
) -> Result<(D, Bytes), StoreError> {
    match read_at(objects, &candidate.path, candidate.id).await {
        Err(missing @ StoreError::Missing { .. }) => {
            let retired = address::retired(&candidate.path);
            let there = read_at(objects, &retired, candidate.id).await;
            there.or(Err(missing))
        }
        found => found,
    }
}

/// Reads a document wherever it is, whoever signed it; its bytes.
pub async fn read_at<D: Document>(
    objects: &Objects,
    path: &str,
    id: D::Id,
) -> Result<(D, Bytes), StoreError> {
    let read = verified_whole(
        || objects.get(path, D::MAX_BYTES),
        |bytes| async move {
            let document = D::decode(id, &bytes).map_err(StoreError::format(path))?;
            Ok((document, bytes))
        },
        || objects.size(path),
    );
    read.await
}

/// Publishes a document. Everything that it refers to must be stored already; once this returns,
/// it is durable and any job may find it. It is signed, if we have a key. Nothing is published that names what a
/// collection is about to remove (`sweeps`).
pub async fn publish<D: Document>(objects: &Objects, document: &D) -> Result<D::Id, StoreError> {
    let bytes = objects.keys().signed(D::OBJECT, document.encode().1);
    let (id, bytes) = (D::id_of(&bytes), Bytes::from(bytes));
    let (path, newest) = (
        document.path(id),
        address::newest(D::KIND, document.lineage()),
    );
    let copying = Box::pin(objects.put_copy(&newest, bytes.clone()));
    let publishing = Box::pin(publish_as_it_is(objects, &path, bytes));
    // Nobody waits for a copy that takes longer.
    match select(publishing, copying).await {
        Either::Left((published, _)) => published?,
        Either::Right(((), publishing)) => publishing.await?,
    }
    objects.see(&line(document), document.counter());
    Ok(id)
}

/// The counter of a document that is published next in a lineage: after its parent, by time and counter, if that is of the
/// same, and after the head. Nobody reads one that is not signed.
pub async fn counter<D: Document>(
    objects: &Objects,
    lineage: &Lineage,
    parent: Option<(u64, u64)>,
    head: Option<&Candidate<D>>,
) -> Result<u64, StoreError> {
    if objects.keys().sign.is_none() {
        return Ok(0);
    }
    let other = head.filter(|head| parent.is_none_or(|(at, _)| at != head.created_ms));
    let head = match other {
        None => 0,
        Some(head) => match read(objects, head).await {
            Ok(found) => found.document.counter(),
            Err(error) if error.may_pass() => return Err(error),
            // Nobody starts from it.
            Err(_) => 0,
        },
    };
    let seen = objects.seen(&address::lineage(D::KIND, lineage));
    let parent = parent.map(|(_, counter)| counter);
    Ok(document::counter(parent, head, seen))
}

/// The line of a document, as machines remember it.
pub(super) fn line<D: Document>(document: &D) -> String {
    address::lineage(D::KIND, document.lineage())
}

/// Publishes a document of another store, byte for byte.
pub async fn publish_as_it_is(
    objects: &Objects,
    path: &str,
    bytes: Bytes,
) -> Result<(), StoreError> {
    sweeps::outlast(objects).await?;
    objects.put(path, bytes).await
}

/// Every document of a kind in a store, newest first, with the faults of those that cannot be read.
pub async fn list<D: Document>(
    objects: &Objects,
) -> Result<(Vec<Found<D>>, Vec<StoreError>), StoreError> {
    let paths = objects.walk(&address::folder(D::KIND), LISTING_MAX).await?;
    let named = paths.iter().filter_map(|path| {
        let (folder, name) = path.rsplit_once('/')?;
        Candidate::<D>::parse(folder, name)
    });
    let reads = named
        .map(|candidate| async move { read_counted(objects, &candidate, &Copies::none()).await });
    let mut reads = futures_util::stream::iter(reads).buffer_unordered(LISTING_READS);
    let (mut found, mut faults) = (Vec::<Found<D>>::new(), Vec::new());
    let mut bytes = 0;
    while let Some(result) = reads.next().await {
        match result {
            Ok((one, its_bytes)) => {
                bytes += its_bytes;
                found.push(one);
            }
            Err(error) => faults.push(error),
        }
        if bytes > LISTING_MAX_BYTES {
            let why = format!("it has more than {LISTING_MAX_BYTES} bytes of documents");
            faults.push(StoreError::damaged(&address::folder(D::KIND), why));
            break;
        }
    }
    found.sort_by_key(|one| std::cmp::Reverse((one.document.created_ms(), one.id)));
    Ok((found, faults))
}
