//! Collecting garbage: documents that the rules do not keep, and objects that no document names.
//!
//! A document that goes is retired: jobs do not find it any more, and what it names stays for the grace, in
//! which jobs may name it again that have read the document. An object is removed when no document names it,
//! none that was retired within the grace either, and it was not written within the grace.
//! All ages are the store's: between the times that its listings give and the time of an object that the run
//! itself has just written. So any machine may run it, whatever its clock says, beside any number of jobs and
//! other runs, and it may be killed anywhere; `docs/FORMAT.md` has the argument.

mod compact;
mod inventory;
mod newest;
mod plan;
mod sweeps;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use larder_local::people::{Nobody, Progress, Voice};
use larder_model::address::segment;
use larder_model::clock;
use larder_model::garbage::Brief;
use larder_model::lineage::Scope;
use larder_model::retention::{Aged, Why, by_worth, judge};
use larder_store::{Entry, Objects, StoreError};

use self::inventory::Inventory;
pub use self::newest::leave_newest;
pub use self::plan::{Amount, Collected, Compacted, Goes, Plan};
use self::sweeps::Sweeps;
use crate::documents::{self, Listed};
use crate::reach::Reach;

/// Objects that are removed before the time is looked at again.
const BATCH: usize = 1_000;
/// Faults that are told one by one.
const TOLD_MAX: usize = 3;

/// A collection that nobody asked for: not when there was one so recently, and within these bounds, or it is
/// left to one that somebody asks for.
const OFTEN: Duration = Duration::from_secs(20 * 3600);
const AUTO_LIMIT: Duration = Duration::from_secs(60);
const AUTO_DOCUMENTS: usize = 500;
const AUTO_COMPACT_BYTES: u64 = 256 << 20;
/// How long a store in trouble is waited for.
const AUTO_PATIENCE: Duration = Duration::from_secs(5);

/// Collects. Nothing that could be needed is removed, whatever happens on the way.
pub async fn collect(
    objects: &Objects,
    plan: &Plan,
    voice: &dyn Voice,
) -> Result<Collected, StoreError> {
    let begun = Instant::now();
    let sweeps = Sweeps::begin(objects, plan.grace, plan.dry_run).await?;
    voice.progress(Progress::Begun("listing the store".to_owned()));
    let inventory = Inventory::of(objects).await?;
    let run = Run {
        objects,
        plan,
        sweeps,
        inventory,
        begun,
    };
    let collected = run.collect(voice).await;
    voice.progress(Progress::Over);
    collected
}

/// Whether the save of this document is one after which the store is looked at: one in eight, so that not all
/// jobs of an hour do it.
pub fn is_chosen(document: &str) -> bool {
    document.starts_with(['0', '1'])
}

/// Collects what is garbage by the usual rules, if nobody has done that for some time. It ends in time, whatever
/// the store does; nothing is heard of it.
pub async fn now_and_then(objects: &Objects, project: &str) -> Option<Collected> {
    objects.patience().set(AUTO_PATIENCE);
    let plan = Plan {
        project: Some(project.to_owned()),
        documents_max: Some(AUTO_DOCUMENTS),
        compact_bytes: AUTO_COMPACT_BYTES,
        ..Plan::usual()
    };
    let work = async {
        let last_ms = sweeps::last_ms(objects).await?;
        if last_ms.is_some_and(|ago_ms| u128::from(ago_ms) < OFTEN.as_millis()) {
            return Ok(None);
        }
        collect(objects, &plan, &Nobody).await.map(Some)
    };
    match tokio::time::timeout(AUTO_LIMIT, work).await {
        Ok(Ok(collected)) => collected,
        Ok(Err(error)) => {
            tracing::info!(%error, "not collected");
            None
        }
        Err(_) => None,
    }
}

/// One collection, after the store was listed.
struct Run<'a> {
    objects: &'a Objects,
    plan: &'a Plan,
    sweeps: Sweeps,
    inventory: Inventory,
    /// Before anything was read.
    begun: Instant,
}

/// The documents of a store and what they name: first those that jobs find, then those that were retired.
struct Known<'a> {
    documents: Vec<&'a Listed>,
    reach: Reach,
    /// Whether a document stays.
    stays: Vec<bool>,
}

impl Run<'_> {
    async fn collect(mut self, voice: &dyn Voice) -> Result<Collected, StoreError> {
        let mut collected = Collected {
            dry_run: self.plan.dry_run,
            ..Collected::default()
        };
        let live = std::mem::take(&mut self.inventory.documents);
        let (retired, over): (Vec<Listed>, Vec<Listed>) =
            std::mem::take(&mut self.inventory.retired)
                .into_iter()
                .partition(|one| !self.sweeps.is_past_grace(one.modified_ms()));
        let documents: Vec<&Listed> = live.iter().chain(&retired).collect();
        if let Some(max) = self.plan.documents_max.filter(|max| documents.len() > *max) {
            collected.held_back = Some(format!("the store has more than {max} documents"));
            self.sweeps.end(self.objects).await?;
            return Ok(collected);
        }
        voice.progress(Progress::Begun(format!(
            "reading {} documents",
            documents.len()
        )));
        let reach = Reach::of(self.objects, &documents).await?;
        let mut stays = vec![false; documents.len()];
        let twins = twins(&live, &reach);
        for ((at, document), why) in live.iter().enumerate().zip(self.judge(&live, &twins)) {
            stays[at] = why.is_none();
            if let Some(why) = why {
                collected.goes(document, why);
            }
        }
        let mut known = Known {
            documents,
            reach,
            stays,
        };
        self.fit(&mut known, &mut collected);
        collected.documents = known.stays.iter().filter(|stays| **stays).count();
        collected.held_back = self.doubt(&known.documents, &known.reach);
        if !self.plan.dry_run {
            let gone: Vec<&Listed> = collected.gone.iter().map(|one| &one.document).collect();
            documents::retire(self.objects, &gone).await?;
            crate::remove::for_good(self.objects, &over).await?;
        }
        voice.progress(Progress::Begun("removing garbage".to_owned()));
        self.remove_objects(&known, &mut collected).await?;
        if collected.held_back.is_none() {
            collected.compacted = match Box::pin(compact::run(&self, &known, voice)).await {
                Err(error) if error.is_damage() => Compacted::not(&error),
                compacted => compacted?,
            };
        }
        Ok(collected)
    }

    /// What becomes of each document by the rules; of two that are the same, one goes in any case.
    fn judge(&self, documents: &[Listed], twins: &HashSet<usize>) -> Vec<Option<Why>> {
        let mut ours: Vec<bool> = documents.iter().map(|one| self.is_ours(one)).collect();
        for at in twins {
            ours[*at] = false;
        }
        let alive = self.alive();
        let aged: Vec<Aged<'_>> = documents
            .iter()
            .zip(&ours)
            .filter(|(_, ours)| **ours)
            .map(|(one, _)| self.aged(one, alive.as_ref()))
            .collect();
        let mut judged = judge(&aged, &self.plan.rules).into_iter();
        let judged = ours.iter().enumerate().map(|(at, ours)| {
            if *ours {
                return judged.next().flatten();
            }
            let is_twin = twins.contains(&at) && self.is_ours(&documents[at]);
            is_twin.then_some(Why::Twin)
        });
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
            is_ahead: clock::is_ahead(place.created_ms, self.sweeps.now_ms),
            age_ms: self.sweeps.age_ms(document.modified_ms()),
        }
    }

    /// If the store may have so many bytes only, those documents stay that are worth most, as long as what they
    /// name together is not more.
    fn fit(&self, known: &mut Known<'_>, collected: &mut Collected) {
        let Some(max) = self.plan.max_bytes else {
            return;
        };
        let sizes = self.inventory.sizes(&known.reach);
        let staying: Vec<usize> = (0..known.stays.len())
            .filter(|at| known.stays[*at])
            .collect();
        let aged: Vec<Aged<'_>> = staying
            .iter()
            .map(|at| self.aged(known.documents[*at], None))
            .collect();
        let mut order: Vec<usize> = by_worth(&aged).into_iter().map(|at| staying[at]).collect();
        // Those of others stay in any case.
        order.sort_by_key(|at| self.is_ours(known.documents[*at]));
        let mut is_counted = vec![false; sizes.len()];
        let mut total = 0;
        for at in order {
            let mut new = Vec::new();
            known.reach.each(at, |object, _| {
                if !std::mem::replace(&mut is_counted[object as usize], true) {
                    new.push(object);
                }
            });
            let bytes: u64 = new.iter().map(|object| sizes[*object as usize]).sum();
            if total + bytes <= max || !self.is_ours(known.documents[at]) {
                total += bytes;
                continue;
            }
            for object in new {
                is_counted[object as usize] = false;
            }
            known.stays[at] = false;
            collected.goes(known.documents[at], Why::Large);
        }
    }

    /// Why nothing may be removed that documents name: some of them cannot be told.
    fn doubt(&self, documents: &[&Listed], reach: &Reach) -> Option<String> {
        if let Some(folder) = &self.inventory.unknown {
            return Some(format!("{folder} was made by a newer Larder; use that one"));
        }
        // What is not where it belongs is taken by nobody. Of what was retired, only what can be read counts.
        let mut faults: Vec<String> = Vec::new();
        for (at, error) in &reach.unreadable {
            let is_of_use = !matches!(error, StoreError::Contradiction { .. });
            if is_of_use && !documents[*at].is_retired() {
                faults.push(format!("{}: {error}", documents[*at].name()));
            }
        }
        let mut seen = HashSet::new();
        let live = documents
            .iter()
            .enumerate()
            .filter(|(_, one)| !one.is_retired());
        for (at, _) in live.filter(|_| !reach.faults.is_empty()) {
            reach.each(at, |object, is_needed| {
                let Some(error) = reach.faults.get(&object).filter(|_| seen.insert(object)) else {
                    return;
                };
                // A hot list that is damaged is as good as none, to jobs too.
                if is_needed || !error.is_damage() {
                    faults.push(error.to_string());
                }
            });
        }
        let more = match faults.len().saturating_sub(TOLD_MAX) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let told = faults
            .iter()
            .take(TOLD_MAX)
            .cloned()
            .collect::<Vec<_>>()
            .join("; ");
        (!faults.is_empty()).then(|| {
            format!("what is needed cannot be told ({told}{more}); `larder verify --repair` drops what cannot be read")
        })
    }

    /// Removes what nothing names: says what that is, looks again, and removes what is still so.
    async fn remove_objects(
        &mut self,
        known: &Known<'_>,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        let kept = known.named(|at| known.stays[at]);
        let mut candidates = Vec::new();
        for (brief, entry) in &self.inventory.content {
            let number = known.reach.number(*brief);
            let is_old = self.sweeps.is_past_grace(entry.modified_ms);
            if number.is_some_and(|number| kept[number as usize]) {
                collected.kept.add(entry.bytes);
            } else if number.is_some() || !is_old || collected.held_back.is_some() {
                collected.waiting.add(entry.bytes);
            } else {
                candidates.push(*brief);
            }
        }
        let mut doomed = self.inventory.useless(&self.sweeps, self.plan, known);
        if self.plan.dry_run {
            doomed.extend(
                candidates
                    .iter()
                    .map(|brief| self.inventory.content[brief].clone()),
            );
            collected.removed.add_all(&doomed);
            return Ok(());
        }
        if !candidates.is_empty() {
            self.sweeps.announce(self.objects, &candidates).await?;
            doomed.extend(self.look_again(&candidates, known).await?);
        }
        for batch in doomed.chunks(BATCH) {
            if !self.sweeps.is_in_time() {
                tracing::warn!("the collection took too long; the next one goes on");
                break;
            }
            let paths: Vec<String> = batch.iter().map(|entry| entry.path.clone()).collect();
            self.objects.delete(&paths).await?;
            collected.removed.add_all(batch);
        }
        self.sweeps.end(self.objects).await?;
        let version = larder_model::address::FORMAT;
        self.objects
            .remove_empty_folders(version, self.plan.grace / 4)
            .await;
        Ok(())
    }

    /// Those of these objects that are still old, and that no document names which came meanwhile. If one of
    /// those cannot be read, nothing.
    async fn look_again(
        &self,
        candidates: &[Brief],
        known: &Known<'_>,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut now = Inventory::of(self.objects).await?;
        let seen: HashSet<&str> = known.documents.iter().map(|one| one.place().id).collect();
        let new = now.documents.iter().chain(&now.retired);
        let new: Vec<&Listed> = new.filter(|one| !seen.contains(one.place().id)).collect();
        let reach = Reach::of(self.objects, &new).await?;
        if let Some(why) = self.doubt(&new, &reach) {
            tracing::warn!(why, "nothing is removed");
            return Ok(Vec::new());
        }
        let mut doomed = Vec::new();
        for brief in candidates
            .iter()
            .filter(|brief| reach.number(**brief).is_none())
        {
            let entry = now.content.remove(brief);
            doomed.extend(entry.filter(|entry| self.sweeps.is_past_grace(entry.modified_ms)));
        }
        Ok(doomed)
    }
}

/// The documents that stand beside what they were before they were laid out anew, or beside the same laid out anew:
/// whoever did that has ended before it could retire them. Of each one stays, and all collections agree which.
fn twins(documents: &[Listed], reach: &Reach) -> HashSet<usize> {
    let mut same: HashMap<(&str, Brief), Vec<usize>> = HashMap::new();
    for (at, document) in documents.iter().enumerate() {
        let one = reach.original(at).unwrap_or_else(|| document.brief());
        let lineage = document.place().lineage;
        same.entry((lineage, one)).or_default().push(at);
    }
    let mut twins = HashSet::new();
    for mut same in same.into_values() {
        same.sort_by_key(|at| (reach.original(*at).is_none(), documents[*at].path()));
        twins.extend(same.into_iter().skip(1));
    }
    twins
}

impl Known<'_> {
    /// Which objects are named by these of the documents.
    fn named(&self, by: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut named = vec![false; self.reach.objects.len()];
        for at in (0..self.documents.len()).filter(|at| by(*at)) {
            self.reach
                .each(at, |object, _| named[object as usize] = true);
        }
        named
    }
}
