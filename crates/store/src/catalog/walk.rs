//! Walking a ladder to the newest document that a job can use, with one policy for damage.

use std::collections::{BTreeSet, HashSet};

use futures_util::future::{Either, select};
use larder_model::clock;
use larder_model::document::Document;
use larder_model::ladder::Rung;
use larder_model::mark::Fault;
use larder_model::snapshot::Snapshot;

use super::copies::{self, Copies};
use super::documents::{Candidate, Found, candidates, line, read_beside, sort};
use super::marks::Reader;
use larder_objects::{Objects, StoreError};

/// Documents that the store could not give as they were written, before a rung is given up: each may cost
/// the whole time of a request. Those that are of no use do not count, or four saves of a newer engine, or
/// four copies from elsewhere, would hide all older ones.
const FAULTS_PER_RUNG: usize = 4;
/// Documents newer than the one that alone is wanted whose marks are asked for.
const MARKS_ASKED_FOR: usize = 8;
/// Reasons that are told one by one.
const TOLD_MAX: usize = 8;

/// Where to look for a document, and for which.
///
/// # Contract
///
/// Documents are offered rung by rung, the newest first, each at most once, until the caller's rule
/// accepts one. Those that are ahead of their time ([`larder_model::clock`]) come last on their rung, with
/// a word for the first of them. On the way there:
///
/// - a document is passed over for the marks of scopes that the ladder leads to
///   ([`larder_model::mark`]): whoever may write what is restored may also say that it should not be. The
///   rule does not see it, and nobody is told again;
/// - one that was removed between the listing and the reading is passed over too;
/// - one that is damaged ([`StoreError::is_damage`]), by its own bytes or by what the rule found when
///   it opened it, is marked and refused;
/// - one that contradicts its place ([`StoreError::Contradiction`]), that nobody who is trusted signed, that the
///   store cannot give for another reason, or that the rule finds unfit, is refused and not marked: that says nothing about its bytes.
///
/// What is older than [`Keys`](crate::Keys) allow is not offered, with a word for the newest of a rung. What has a
/// smaller counter than this machine remembers of its line is refused; what is accepted is remembered.
///
/// A listing that fails ends the walk, if it comes to its rung: the other rungs would only wait as long again.
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
    /// Whether one was passed over before that because it was marked. What it named may be damaged, and the
    /// accepted one may name the same.
    pub passed_marked: bool,
}

impl<T, D: Document> Walked<T, D> {
    /// What was left out, a line for each reason. `kind` is what the documents are called.
    pub fn told(&self, kind: &str) -> Vec<String> {
        let mut reasons: Vec<(String, D::Id, usize)> = Vec::new();
        for refused in &self.refused {
            let why = refused.why.to_string();
            match reasons.iter_mut().find(|(other, ..)| *other == why) {
                Some((.., count)) => *count += 1,
                None => reasons.push((why, refused.id, 1)),
            }
        }
        let more: usize = reasons.iter().skip(TOLD_MAX).map(|(.., count)| count).sum();
        let mut told = Vec::new();
        for (why, id, count) in reasons.into_iter().take(TOLD_MAX) {
            told.push(match count {
                1 => format!("{kind} {id:.12} is left out: {why}"),
                _ => format!("{count} {kind}s are left out, the newest is {id:.12}: {why}"),
            });
        }
        if more > 0 {
            told.push(format!("{more} more {kind}s are left out"));
        }
        told
    }
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
    /// It is left for last.
    #[error("it says that it was made {} hours from now; is a machine's clock wrong? Others come first", .0 / HOUR_MS)]
    Ahead(u64),
    /// It is older than what may be restored.
    #[error("it is {0} days old, older than --max-snapshot-age allows")]
    TooOld(u64),
    /// It was put back, or what came after it is gone.
    #[error(
        "its counter is {counter}, and this machine has seen {seen}: it was put back, or what followed it was removed"
    )]
    Replayed {
        /// Its counter.
        counter: u64,
        /// The largest of its line that this machine has seen.
        seen: u64,
    },
}

const HOUR_MS: u64 = 3600 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

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
        let mut walked = Walked {
            outcome: Ok(None),
            refused: Vec::new(),
            passed_marked: false,
        };
        walked.outcome = self.climb(&accept, &mut walked).await;
        walked
    }

    async fn climb<T, F, R>(
        &self,
        accept: &F,
        walked: &mut Walked<T, D>,
    ) -> Result<Option<T>, StoreError>
    where
        F: Fn(Found<D>) -> R,
        R: Future<Output = Result<T, Refusal>>,
    {
        // Ladders side by side may name a lineage twice.
        let mut seen = HashSet::new();
        let rungs = self.ladders.iter().map(Vec::len).max().unwrap_or(0);
        // All at once: a far store takes its time for each listing. The first rungs need not wait for the last; those are
        // tasks, because they may have what the first ones wait for, such as the store's keys.
        let steps = (0..rungs).map(|rung| tokio::spawn(self.step(rung)));
        for step in steps.collect::<Vec<_>>() {
            let (mut step, copies) = step.await.expect("listing does not panic")?;
            tracing::debug!(documents = step.len(), "a rung was listed");
            step.retain(|candidate| seen.insert(candidate.path.clone()));
            walked.refused.extend(self.drop_old(&mut step));
            walked.refused.extend(self.left_for_last(&step));
            let accepted = self.try_all((&step, &copies), accept, walked).await;
            if accepted.is_some() {
                return Ok(accepted);
            }
        }
        Ok(None)
    }

    /// Leaves out the candidates that are too old, with a word for the newest of them.
    fn drop_old(&self, step: &mut Vec<Candidate<D>>) -> Option<Refused<D>> {
        let now_ms = self.reader.now_ms;
        let is_old = |candidate: &Candidate<D>| {
            let keys = self.objects.keys();
            keys.is_too_old(candidate.created_ms, now_ms)
        };
        let newest = step.iter().find(|candidate| is_old(candidate)).cloned();
        step.retain(|candidate| !is_old(candidate));
        let Candidate { id, created_ms, .. } = newest.filter(|_| self.only.is_none())?;
        let why = Refusal::TooOld(now_ms.saturating_sub(created_ms) / DAY_MS);
        Some(Refused { id, why })
    }

    /// A word for the first candidate that is ahead of its time, if there are any.
    fn left_for_last(&self, step: &[Candidate<D>]) -> Option<Refused<D>> {
        let mut ahead = step
            .iter()
            .filter(|candidate| clock::is_ahead(candidate.created_ms, self.reader.now_ms));
        let Candidate { id, created_ms, .. } = ahead.next().filter(|_| self.only.is_none())?;
        let why = Refusal::Ahead(created_ms.saturating_sub(self.reader.now_ms));
        Some(Refused { id: *id, why })
    }

    async fn try_all<T, F, R>(
        &self,
        (step, copies): (&[Candidate<D>], &Copies<D>),
        accept: &F,
        walked: &mut Walked<T, D>,
    ) -> Option<T>
    where
        F: Fn(Found<D>) -> R,
        R: Future<Output = Result<T, Refusal>>,
    {
        if let Some(only) = self.only {
            let at = step.iter().position(|candidate| candidate.id == only)?;
            walked.passed_marked |= self.is_any_marked(&step[..at]).await;
        }
        let scopes = self.scopes();
        let mut faults = 0;
        let wanted = step
            .iter()
            .filter(|candidate| self.only.is_none_or(|only| only == candidate.id));
        for candidate in wanted {
            match self.offer((candidate, copies), &scopes, accept).await {
                Ok(Offered::Accepted(accepted)) => return Some(accepted),
                Ok(Offered::Marked) => walked.passed_marked = true,
                Ok(Offered::Gone) => {}
                Err(why) => {
                    faults += usize::from(why.is_fault());
                    let id = candidate.id;
                    walked.refused.push(Refused { id, why });
                }
            }
            if faults == FAULTS_PER_RUNG {
                break;
            }
        }
        None
    }

    /// Whether any of these is marked; one that the store does not tell of is none.
    async fn is_any_marked(&self, newer: &[Candidate<D>]) -> bool {
        let scopes = self.scopes();
        let newer = newer.iter().take(MARKS_ASKED_FOR);
        let marks = newer.map(|candidate| {
            let (reader, objects) = (self.reader, self.objects);
            reader.passes_over(objects, candidate.id, &scopes)
        });
        let marks = futures_util::future::join_all(marks).await;
        marks.into_iter().any(|marked| marked.unwrap_or(false))
    }

    /// The scopes whose documents may be restored.
    fn scopes(&self) -> Vec<&str> {
        let lineages = self.ladders.iter().flatten().map(|rung| match rung {
            Rung::Lineage(lineage) | Rung::AnyJob(lineage) => &*lineage.scope,
        });
        lineages.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The candidates on one rung of every ladder, and copies of what they may be.
    fn step(
        &self,
        rung: usize,
    ) -> impl Future<Output = Result<(Vec<Candidate<D>>, Copies<D>), StoreError>> + use<D> {
        let rungs = self.ladders.iter().filter_map(|ladder| ladder.get(rung));
        let rungs: Vec<Rung> = rungs.cloned().collect();
        let (objects, now_ms) = (self.objects.clone(), self.reader.now_ms);
        async move {
            let listings = rungs.iter().map(|rung| candidates(&objects, rung, now_ms));
            let listing = async {
                let listed = futures_util::future::try_join_all(listings).await?;
                let mut all: Vec<Candidate<D>> = listed.into_iter().flatten().collect();
                sort(&mut all, now_ms);
                Ok(all)
            };
            copies::beside(listing, Copies::of(&objects, &rungs)).await
        }
    }

    /// Reads a candidate and lets the rule judge it, unless it is marked.
    async fn offer<T, F, R>(
        &self,
        (candidate, copies): (&Candidate<D>, &Copies<D>),
        scopes: &[&str],
        accept: &F,
    ) -> Result<Offered<T>, Refusal>
    where
        F: Fn(Found<D>) -> R,
        R: Future<Output = Result<T, Refusal>>,
    {
        let reader = self.reader;
        let marked = Box::pin(reader.passes_over(self.objects, candidate.id, scopes));
        let judged = Box::pin(async {
            match read_beside(self.objects, candidate, copies).await {
                // Somebody removed the document itself; that is no damage.
                Err(StoreError::Missing { .. }) => Ok(None),
                Err(error) => Err(Refusal::Store(error)),
                Ok(found) => self.judge(found, accept).await.map(Some),
            }
        });
        // A mark is seldom there, and a request takes its time: what the rule asks the store for is asked meanwhile.
        let (marked, judged) = match select(marked, judged).await {
            Either::Right((judged, marked)) => (marked.await?, judged),
            Either::Left((marked, judged)) => {
                if marked? {
                    return Ok(Offered::Marked);
                }
                (false, judged.await)
            }
        };
        if marked {
            return Ok(Offered::Marked);
        }
        if let Err(Refusal::Store(error)) = &judged
            && error.is_damage()
        {
            let why = error.to_string();
            let marking = reader.mark(self.objects, candidate.id, Fault::Damage, &why);
            marking.await;
        }
        let Some(Judged { line, counter, of }) = judged? else {
            return Ok(Offered::Gone);
        };
        self.objects.see(&line, counter);
        Ok(Offered::Accepted(of))
    }

    /// Lets the rule judge a document, unless this machine has seen a newer one of its line.
    async fn judge<T, F, R>(&self, found: Found<D>, accept: &F) -> Result<Judged<T>, Refusal>
    where
        F: Fn(Found<D>) -> R,
        R: Future<Output = Result<T, Refusal>>,
    {
        let (line, counter) = (line(&found.document), found.document.counter());
        let seen = self.objects.seen(&line);
        if counter < seen {
            return Err(Refusal::Replayed { counter, seen });
        }
        let of = accept(found).await?;
        Ok(Judged { line, counter, of })
    }
}

/// What the rule made of a document.
struct Judged<T> {
    line: String,
    counter: u64,
    of: T,
}

/// What became of a candidate that is not refused.
enum Offered<T> {
    Accepted(T),
    /// It is marked as broken.
    Marked,
    /// Somebody removed it meanwhile.
    Gone,
}

impl Refusal {
    /// Whether the store failed or its data is damaged, and it is not the document that is of no use.
    fn is_fault(&self) -> bool {
        match self {
            Self::Store(
                StoreError::Version { .. }
                | StoreError::Contradiction { .. }
                | StoreError::Untrusted { .. },
            )
            | Self::Unfit(_)
            | Self::Ahead(_)
            | Self::TooOld(_)
            | Self::Replayed { .. } => false,
            Self::Store(_) => true,
        }
    }
}
