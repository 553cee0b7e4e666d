//! Collecting garbage: documents that the rules do not keep, and objects that no document names.
//!
//! Objects go in two phases. A run writes down what nothing names (`garbage`); a later one, when that list is
//! older than the grace, removes what is in it, is still unnamed, and has not been written again of late.
//! All ages are the store's: between the times that its listings give and the time of an object that the run
//! itself has just written. So any machine may run it, whatever its clock says, beside any number of jobs and
//! other runs, and it may be killed anywhere; `docs/FORMAT.md` has the argument.

mod inventory;
mod lists;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use larder_local::people::{Progress, Voice};
use larder_model::address::segment;
use larder_model::clock;
use larder_model::lineage::Scope;
use larder_model::retention::{Aged, Rules, Why, by_worth, judge};
use larder_store::{Objects, StoreError};
use serde::Serialize;

use self::inventory::Inventory;
use self::lists::Lists;
use crate::documents::Listed;
use crate::reach::Reach;

/// Objects that are removed before the time is looked at again.
const BATCH: usize = 1_000;
/// Faults that are told one by one.
const TOLD_MAX: usize = 3;

/// What is to be collected.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which documents stay.
    pub rules: Rules,
    /// Bytes that the store may have; documents go until what the others name is not more.
    pub max_bytes: Option<u64>,
    /// Whose documents the rules are for; none for all.
    pub project: Option<String>,
    /// The scopes that still exist, if somebody knows: all others are gone, but for those that were named by
    /// hand.
    pub alive: Option<Vec<String>>,
    /// How long what nothing names stays. Jobs that last longer than half of it may lose their save.
    pub grace: Duration,
    /// Whether nothing is changed.
    pub dry_run: bool,
    /// Does nothing with more documents than this.
    pub documents_max: Option<usize>,
}

/// A document that goes.
#[derive(Debug, Clone, Serialize)]
pub struct Goes {
    /// Its path.
    pub document: Listed,
    /// Why.
    pub why: &'static str,
}

/// Objects and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// What a collection did; of a dry run, what it would have done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Collected {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Documents that stay.
    pub documents: usize,
    /// Documents that go.
    pub gone: Vec<Goes>,
    /// What documents name.
    pub kept: Amount,
    /// What was removed.
    pub removed: Amount,
    /// What nothing names, and is removed when the grace is over.
    pub waiting: Amount,
    /// Why nothing was removed but documents, if so.
    pub held_back: Option<String>,
}

/// Collects. Nothing that could be needed is removed, whatever happens on the way.
pub async fn collect(objects: &Objects, plan: &Plan, voice: &dyn Voice) -> Result<Collected, StoreError> {
    let begun = Instant::now();
    let lists = Lists::begin(objects, plan.grace, plan.dry_run).await?;
    voice.progress(Progress::Begun("listing the store".to_owned()));
    let inventory = Inventory::of(objects).await?;
    let run = Run {
        objects,
        plan,
        begun,
        lists,
        inventory,
    };
    let collected = run.collect(voice).await;
    voice.progress(Progress::Over);
    collected
}

/// One collection, after its lists are written and the store is listed.
struct Run<'a> {
    objects: &'a Objects,
    plan: &'a Plan,
    begun: Instant,
    lists: Lists,
    inventory: Inventory,
}

impl Run<'_> {
    async fn collect(mut self, voice: &dyn Voice) -> Result<Collected, StoreError> {
        let documents = std::mem::take(&mut self.inventory.documents);
        let judged = self.judge(&documents);
        let mut stays: Vec<&Listed> = Vec::new();
        let mut collected = Collected {
            dry_run: self.plan.dry_run,
            ..Collected::default()
        };
        for (document, why) in documents.iter().zip(judged) {
            match why {
                None => stays.push(document),
                Some(why) => collected.goes(document, why),
            }
        }
        if let Some(max) = self.plan.documents_max.filter(|max| stays.len() > *max) {
            collected.held_back = Some(format!("the store has more than {max} documents"));
            self.lists.end(self.objects, false, Vec::new()).await?;
            return Ok(collected);
        }
        voice.progress(Progress::Begun(format!("reading {} documents", stays.len())));
        let reach = Reach::of(self.objects, &stays).await?;
        let is_kept = self.fit(&stays, &reach, &mut collected);
        collected.documents = is_kept.iter().filter(|kept| **kept).count();
        collected.held_back = self.doubt(&stays, &reach);
        self.remove_documents(&collected).await?;
        voice.progress(Progress::Begun("removing garbage".to_owned()));
        let named = named(&reach, &is_kept);
        self.remove_objects(&reach, &named, &stays, &mut collected).await?;
        Ok(collected)
    }

    /// What becomes of each document by the rules.
    fn judge(&self, documents: &[Listed]) -> Vec<Option<Why>> {
        let ours: Vec<bool> = documents.iter().map(|one| self.is_ours(one)).collect();
        let alive = self.alive();
        let aged: Vec<Aged<'_>> = documents
            .iter()
            .zip(&ours)
            .filter(|(_, ours)| **ours)
            .map(|(one, _)| self.aged(one, alive.as_ref()))
            .collect();
        let mut judged = judge(&aged, &self.plan.rules).into_iter();
        let judged = ours.iter().map(|ours| if *ours { judged.next().flatten() } else { None });
        judged.collect()
    }

    fn is_ours(&self, document: &Listed) -> bool {
        let project = self.plan.project.as_deref();
        project.is_none_or(|project| segment(project) == document.place().project)
    }

    /// The scopes that exist, as paths have them.
    fn alive(&self) -> Option<HashSet<String>> {
        let names = self.plan.alive.as_ref()?;
        let meant = names.iter().flat_map(|name| Scope::meant_by(name));
        Some(meant.map(|scope| segment(&scope.to_string())).collect())
    }

    fn aged<'d>(&self, document: &'d Listed, alive: Option<&HashSet<String>>) -> Aged<'d> {
        let place = document.place();
        let is_listed = alive.is_none_or(|alive| alive.contains(place.scope));
        Aged {
            lineage: place.lineage,
            scope: (place.project, place.scope),
            is_brief: place.is_brief(),
            is_gone: !is_listed && !place.is_by_hand(),
            created_ms: place.created_ms,
            is_ahead: clock::is_ahead(place.created_ms, self.lists.now_ms),
            age_ms: self.lists.age_ms(document.modified_ms()),
        }
    }

    /// Which documents stay, if the store may have so many bytes: those that are worth most, as long as what
    /// they name together is not more.
    fn fit(&self, stays: &[&Listed], reach: &Reach, collected: &mut Collected) -> Vec<bool> {
        let Some(max) = self.plan.max_bytes else {
            return vec![true; stays.len()];
        };
        let sizes = self.inventory.sizes(reach);
        let aged: Vec<Aged<'_>> = stays.iter().map(|one| self.aged(one, None)).collect();
        let mut order = by_worth(&aged);
        // Those of others stay in any case.
        order.sort_by_key(|at| self.is_ours(stays[*at]));
        let mut is_counted = vec![false; sizes.len()];
        let mut is_kept = vec![true; stays.len()];
        let mut total = 0;
        for at in order {
            let mut new = Vec::new();
            reach.each(at, |object, _| {
                if !std::mem::replace(&mut is_counted[object as usize], true) {
                    new.push(object);
                }
            });
            let bytes: u64 = new.iter().map(|object| sizes[*object as usize]).sum();
            if total + bytes <= max || !self.is_ours(stays[at]) {
                total += bytes;
                continue;
            }
            new.iter().for_each(|object| is_counted[*object as usize] = false);
            is_kept[at] = false;
            collected.goes(stays[at], Why::Large);
        }
        is_kept
    }

    /// Why nothing may be removed that documents name: some of them cannot be told.
    fn doubt(&self, stays: &[&Listed], reach: &Reach) -> Option<String> {
        if let Some(folder) = &self.inventory.unknown {
            return Some(format!("{folder} was made by a newer Larder; use that one"));
        }
        // What is not where it belongs is taken by nobody.
        let is_of_use = |error: &StoreError| !matches!(error, StoreError::Contradiction { .. });
        let unreadable = reach.unreadable.iter().filter(|(_, error)| is_of_use(error));
        let documents = unreadable
            .map(|(at, error)| format!("{}: {error}", stays[*at].name()));
        let is_needed = |number: &u32, error: &StoreError| {
            // A hot list that is damaged is as good as none, to jobs too.
            !(error.is_damage() && reach.objects[*number as usize].path.contains("/hot/"))
        };
        let objects = reach.faults.iter().filter(|(number, error)| is_needed(number, error));
        let faults: Vec<String> = documents.chain(objects.map(|(_, error)| error.to_string())).collect();
        let more = match faults.len().saturating_sub(TOLD_MAX) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let told = faults.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("; ");
        (!faults.is_empty()).then(|| {
            format!("what is needed cannot be told ({told}{more}); `larder verify --repair` drops what cannot be read")
        })
    }

    async fn remove_documents(&self, collected: &Collected) -> Result<(), StoreError> {
        let paths: Vec<String> = collected.gone.iter().map(|one| one.document.path().to_owned()).collect();
        if self.plan.dry_run {
            return Ok(());
        }
        self.objects.delete(&paths).await
    }

    /// Removes what may go, and writes down what may go later.
    async fn remove_objects(
        &self,
        reach: &Reach,
        named: &[bool],
        stays: &[&Listed],
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        let mut doomed = Vec::new();
        let mut unnamed = Vec::new();
        for (brief, entry) in &self.inventory.content {
            if reach.number(*brief).is_some_and(|number| named[number as usize]) {
                collected.kept.add(entry.bytes);
            } else if collected.held_back.is_some() {
                collected.waiting.add(entry.bytes);
            } else if self.lists.is_ripe(*brief) && self.is_past_grace(entry.modified_ms) {
                doomed.push(entry);
            } else {
                collected.waiting.add(entry.bytes);
                unnamed.push(*brief);
            }
        }
        let others = self.inventory.useless(&self.lists, self.plan, stays);
        doomed.extend(others);
        let mut in_time = true;
        for batch in doomed.chunks(BATCH) {
            // Whoever saves relies on this, by the clock that nobody sets.
            in_time &= self.begun.elapsed() < time_limit(self.plan.grace);
            if !in_time {
                tracing::warn!("the collection took too long; the next one goes on");
                break;
            }
            let paths: Vec<String> = batch.iter().map(|entry| entry.path.clone()).collect();
            if !self.plan.dry_run {
                self.objects.delete(&paths).await?;
            }
            batch.iter().for_each(|entry| collected.removed.add(entry.bytes));
        }
        let is_whole = in_time && collected.held_back.is_none();
        self.lists.end(self.objects, is_whole, unnamed).await?;
        if !self.plan.dry_run {
            let version = larder_model::address::FORMAT;
            self.objects.remove_empty_folders(version, self.plan.grace / 4).await;
        }
        Ok(())
    }

    fn is_past_grace(&self, modified_ms: u64) -> bool {
        self.lists.age_ms(modified_ms) >= self.plan.grace.as_millis() as u64
    }
}

impl Collected {
    fn goes(&mut self, document: &Listed, why: Why) {
        let (document, why) = (document.clone(), why.text());
        self.gone.push(Goes { document, why });
    }
}

/// How long a collection may remove what it has said it would. What it said stands there for the grace, and
/// a save looks for it within half of that. Without a grace there are no saves.
fn time_limit(grace: Duration) -> Duration {
    if grace.is_zero() { Duration::MAX } else { grace / 4 }
}

/// Which objects are named by the documents that are kept.
fn named(reach: &Reach, is_kept: &[bool]) -> Vec<bool> {
    let mut named = vec![false; reach.objects.len()];
    for at in (0..reach.count()).filter(|at| is_kept[*at]) {
        reach.each(at, |object, _| named[object as usize] = true);
    }
    named
}
