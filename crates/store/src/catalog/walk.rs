//! Walking a ladder to the newest document that a job can use, with one policy for damage.

use std::collections::{BTreeSet, HashSet};

use larder_model::document::Document;
use larder_model::ladder::Rung;
use larder_model::mark::Fault;
use larder_model::snapshot::Snapshot;

use super::documents::{Candidate, Found, candidates, read};
use super::marks::Reader;
use crate::error::StoreError;
use crate::objects::Objects;

/// Where to look for a document, and for which.
///
/// # Contract
///
/// Documents are offered rung by rung, the newest first, each at most once, until the caller's rule
/// accepts one. On the way there:
///
/// - a document is passed over for the marks of scopes that the ladder leads to
///   ([`larder_model::mark`]): whoever may write what is restored may also say that it should not be. The
///   rule does not see it, and nobody is told again;
/// - one that was removed between the listing and the reading is passed over too;
/// - one that is damaged ([`StoreError::is_damage`]), by its own bytes or by what the rule found when
///   it opened it, is marked and refused;
/// - one that the store cannot give for another reason, or that the rule finds unfit, is refused and
///   not marked: that says nothing about its bytes.
///
/// A listing that fails ends the walk: the other rungs would only wait as long again.
#[derive(Debug, Clone)]
pub struct Walk<'a, D: Document = Snapshot> {
    objects: &'a Objects,
    ladders: Vec<Vec<Rung>>,
    reader: &'a Reader,
    only: Option<D::Id>,
}

/// How a walk went.
#[derive(Debug)]
pub struct Walked<T, D: Document = Snapshot> {
    /// What the rule made of the first document that it accepted; `None` if it accepted none; an
    /// error if the store could not be listed.
    pub outcome: Result<Option<T>, StoreError>,
    /// What was left out before that, in order. These are worth telling.
    pub refused: Vec<Refused<D>>,
}

/// A document that was left out.
#[derive(Debug, Clone)]
pub struct Refused<D: Document = Snapshot> {
    /// Its id.
    pub id: D::Id,
    /// Why.
    pub why: Refusal,
}

/// Why a document was left out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The store cannot give it, or not as it was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is whole, and of no use to this job.
    #[error("{0}")]
    Unfit(String),
}

impl<'a, D: Document> Walk<'a, D> {
    /// A walk of this ladder.
    pub fn new(objects: &'a Objects, ladder: Vec<Rung>, reader: &'a Reader) -> Self {
        Self::side_by_side(objects, vec![ladder], reader)
    }

    /// A walk of several ladders side by side: the documents on the first rungs of all of them, the
    /// newest first, then those on the second rungs, and so on.
    pub fn side_by_side(objects: &'a Objects, ladders: Vec<Vec<Rung>>, reader: &'a Reader) -> Self {
        Self {
            objects,
            ladders,
            reader,
            only: None,
        }
    }

    /// Looks for this document alone; the others are passed over unread.
    #[must_use]
    pub fn only(mut self, id: D::Id) -> Self {
        self.only = Some(id);
        self
    }

    /// Walks until `accept` accepts a document. The rule may read more from the store; what it
    /// returns is what the walk yields.
    pub async fn first<T, F, R>(self, accept: F) -> Walked<T, D>
    where
        F: Fn(Found<D>) -> R,
        R: Future<Output = Result<T, Refusal>>,
    {
        let mut refused = Vec::new();
        let outcome = self.climb(&accept, &mut refused).await;
        Walked { outcome, refused }
    }

    async fn climb<T, F, R>(
        &self,
        accept: &F,
        refused: &mut Vec<Refused<D>>,
    ) -> Result<Option<T>, StoreError>
    where
        F: Fn(Found<D>) -> R,
        R: Future<Output = Result<T, Refusal>>,
    {
        // A lineage's documents come again where any job will do.
        let mut seen = HashSet::new();
        let scopes = self.scopes();
        let rungs = self.ladders.iter().map(Vec::len).max().unwrap_or(0);
        for rung in 0..rungs {
            for candidate in self.step(rung).await? {
                let id = candidate.id;
                if self.only.is_some_and(|only| only != id) || !seen.insert(id) {
                    continue;
                }
                match self.offer(&candidate, &scopes, accept).await {
                    Ok(Some(accepted)) => return Ok(Some(accepted)),
                    Ok(None) => {}
                    Err(why) => refused.push(Refused { id, why }),
                }
            }
        }
        Ok(None)
    }

    /// The scopes whose documents may be restored.
    fn scopes(&self) -> Vec<&str> {
        let lineages = self.ladders.iter().flatten().map(|rung| match rung {
            Rung::Lineage(lineage) | Rung::AnyJob(lineage) => &*lineage.scope,
        });
        lineages.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The candidates on one rung of every ladder.
    async fn step(&self, rung: usize) -> Result<Vec<Candidate<D>>, StoreError> {
        let rungs = self.ladders.iter().filter_map(|ladder| ladder.get(rung));
        let listings = rungs.map(|rung| candidates(self.objects, rung));
        let listed = futures_util::future::try_join_all(listings).await?;
        let mut all: Vec<Candidate<D>> = listed.into_iter().flatten().collect();
        all.sort_by_key(|candidate| std::cmp::Reverse(candidate.created_ms));
        Ok(all)
    }

    /// Reads a candidate and lets the rule judge it; nothing if it is to be passed over.
    async fn offer<T, F, R>(
        &self,
        candidate: &Candidate<D>,
        scopes: &[&str],
        accept: &F,
    ) -> Result<Option<T>, Refusal>
    where
        F: Fn(Found<D>) -> R,
        R: Future<Output = Result<T, Refusal>>,
    {
        // Both are asked for at once: the mark is seldom there, and a request takes its time.
        let reader = self.reader;
        let marked = reader.passes_over(self.objects, candidate.id, scopes);
        let (marked, found) = tokio::join!(marked, read(self.objects, candidate));
        if marked? {
            return Ok(None);
        }
        let judged = match found {
            // Somebody removed the document itself; that is no damage.
            Err(StoreError::Missing { .. }) => return Ok(None),
            Err(error) => Err(Refusal::Store(error)),
            Ok(found) => accept(found).await,
        };
        if let Err(Refusal::Store(error)) = &judged
            && error.is_damage()
        {
            let why = error.to_string();
            let marking = reader.mark(self.objects, candidate.id, Fault::Damage, &why);
            marking.await;
        }
        judged.map(Some)
    }
}
