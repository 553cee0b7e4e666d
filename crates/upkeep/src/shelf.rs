//! Documents as people look at them: the newest are read, all are counted.

use std::cmp::Reverse;
use std::collections::HashSet;

use futures_util::StreamExt as _;
use larder_model::document::Document;
use larder_model::mark::Mark;
use larder_store::{Found, Objects, StoreError, catalog};

use crate::documents::Listed;
use crate::reach;

/// Documents that are read at once.
const READS: usize = 16;

/// Some documents, and how many there are.
#[derive(Debug)]
pub struct Shelf<D: Document> {
    /// The newest, each with the marks on it.
    pub found: Vec<(Found<D>, Vec<Mark>)>,
    /// Why others cannot be read.
    pub faults: Vec<StoreError>,
    /// How many there are of the kind.
    pub total: usize,
    /// In how many lineages.
    pub lineages: usize,
}

/// Reads the newest of these documents that are of a kind, at most `limit`.
pub async fn read<D: Document>(
    objects: &Objects,
    mut meant: Vec<&Listed>,
    limit: usize,
) -> Result<Shelf<D>, StoreError> {
    meant.retain(|one| one.place().kind == D::KIND);
    meant.sort_by_key(|one| Reverse((one.place().created_ms, one.place().id)));
    let lineages: HashSet<&str> = meant.iter().map(|one| one.place().lineage).collect();
    let mut shelf = Shelf {
        found: Vec::new(),
        faults: Vec::new(),
        total: meant.len(),
        lineages: lineages.len(),
    };
    let mut marks = catalog::marks(objects).await?;
    let reads = meant.into_iter().take(limit);
    let reads = reads.map(|one| async move { (one, reach::document::<D>(objects, one).await) });
    let mut reads = futures_util::stream::iter(reads).buffered(READS);
    while let Some((one, read)) = reads.next().await {
        let id = one.place().id;
        match read {
            Ok(Some(document)) => {
                let own = marks.extract_if(.., |mark| mark.document == id).collect();
                let id = id.parse().expect("a path of a document has an id");
                shelf.found.push((Found { id, document }, own));
            }
            // Removed meanwhile.
            Ok(None) => {}
            Err(error) => shelf.faults.push(error),
        }
    }
    Ok(shelf)
}
