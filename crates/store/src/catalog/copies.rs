//! Copies of the newest documents of lineages: they come with a listing, where reading the document that it names would
//! take another round trip.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::{Either, join_all, select};
use larder_model::address;
use larder_model::document::Document;
use larder_model::ladder::Rung;
use larder_objects::Objects;
use tokio::time::{Instant, timeout};

/// How long copies are waited for once names are listed, as a part of the time that the listing took: a document that
/// is read instead takes about all of it again.
const PATIENCE: f64 = 0.5;

/// Bytes that may be those of a document, by the id that they have then.
pub(super) struct Copies<D: Document>(HashMap<D::Id, Bytes>);

impl<D: Document> Copies<D> {
    /// No copies.
    pub(super) fn none() -> Self {
        Self(HashMap::new())
    }

    /// Those of the lineages on these rungs.
    pub(super) async fn of(objects: &Objects, rungs: &[Rung]) -> Self {
        let lineages = rungs.iter().filter_map(|rung| match rung {
            Rung::Lineage(lineage) => Some(address::newest(D::KIND, lineage)),
            Rung::AnyJob(_) => None,
        });
        let reads = lineages.map(async |path| objects.get_copy(&path, D::MAX_BYTES).await);
        let copies = join_all(reads).await.into_iter().flatten();
        Self(copies.map(|bytes| (D::id_of(&bytes), bytes)).collect())
    }

    /// The document of an id and its bytes, if there is a copy, and it can be read.
    pub(super) fn document(&self, id: D::Id) -> Option<(D, Bytes)> {
        let bytes = self.0.get(&id)?;
        let document = D::decode(id, bytes).ok()?;
        Some((document, bytes.clone()))
    }
}

/// What a listing says, and the copies that came beside it. A listing that found nothing waits for none.
pub(super) async fn beside<D: Document, T, E>(
    listing: impl Future<Output = Result<Vec<T>, E>>,
    copies: impl Future<Output = Copies<D>>,
) -> Result<(Vec<T>, Copies<D>), E> {
    let begun = Instant::now();
    match select(Box::pin(listing), Box::pin(copies)).await {
        Either::Right((copies, listing)) => Ok((listing.await?, copies)),
        Either::Left((listed, copies)) => {
            let listed = listed?;
            let patience = match &*listed {
                [] => return Ok((listed, Copies::none())),
                _ => begun.elapsed().mul_f64(PATIENCE),
            };
            let copies = timeout(patience, copies).await;
            Ok((listed, copies.unwrap_or_else(|_| Copies::none())))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder_model::snapshot::Snapshot;
    use tokio::time::sleep;

    use super::*;

    async fn after<T>(ms: u64, done: T) -> T {
        sleep(Duration::from_millis(ms)).await;
        done
    }

    /// Whether the copies came, and when.
    async fn came(listing: (u64, Vec<u8>), copies_after: u64) -> (bool, u128) {
        let copies = HashMap::from([(Snapshot::id_of(b"x"), Bytes::from_static(b"x"))]);
        let begun = Instant::now();
        let beside = beside::<Snapshot, _, ()>(
            after(listing.0, Ok(listing.1)),
            after(copies_after, Copies(copies)),
        );
        let (_, copies) = beside.await.expect("a listing");
        (!copies.0.is_empty(), begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn copies_are_waited_for_half_as_long_as_a_listing_took() {
        for (copies_after, expected) in [
            (50, (true, 100)),
            (100, (true, 100)),
            (140, (true, 140)),
            (10_000, (false, 150)),
        ] {
            let came = came((100, vec![1]), copies_after).await;
            assert_eq!(came, expected, "{copies_after}");
        }
        assert_eq!(came((100, Vec::new()), 140).await, (false, 100), "no names");
    }
}
