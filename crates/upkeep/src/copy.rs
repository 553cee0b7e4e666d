//! Copying documents with all that they name to another store.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_local::clock::now_ms;
use larder_local::people::{Progress, Voice};
use larder_model::address;
use larder_model::retention::REUSE_MS;
use larder_store::{Objects, StoreError, catalog, closure};
use serde::Serialize;

use crate::documents::{self, DOCUMENT_MAX_BYTES, Listed};
use crate::gc::Amount;
use crate::reach::Reach;

/// Objects that are copied at once: each is in memory.
const COPIES: usize = 4;

/// What was copied.
#[derive(Debug, Default, Serialize)]
pub struct Copied {
    /// Documents that are there now.
    pub documents: Vec<Listed>,
    /// What was copied for them.
    pub copied: Amount,
    /// What the other store had already.
    pub there: Amount,
    /// Documents that were left out, and why.
    pub left_out: Vec<(Listed, String)>,
}

/// Copies. Every byte is compared with its digests on the way. What is killed goes on where it was: objects
/// that are there are not copied again, and a document is written after all that it names.
pub async fn copy(
    from: &Objects,
    to: &Objects,
    documents: &[&Listed],
    voice: &dyn Voice,
) -> Result<Copied, StoreError> {
    let doing = format!("reading {} documents", documents.len());
    voice.progress(Progress::Begun(doing));
    let reach = Reach::of(from, documents).await?;
    let there = There::look(to, documents).await?;
    let mut copied = Copied::default();
    let copy = Copy {
        from,
        to,
        reach: &reach,
        there: &there,
        voice,
    };
    for (at, document) in documents.iter().enumerate() {
        match copy.document(at, document, &mut copied).await {
            Ok(()) => copied.documents.push((*document).clone()),
            Err(error) if error.may_pass() => return Err(error),
            Err(error) => copied
                .left_out
                .push(((*document).clone(), error.to_string())),
        }
    }
    voice.progress(Progress::Over);
    Ok(copied)
}

struct Copy<'a> {
    from: &'a Objects,
    to: &'a Objects,
    reach: &'a Reach,
    there: &'a There,
    voice: &'a dyn Voice,
}

impl Copy<'_> {
    async fn document(
        &self,
        at: usize,
        document: &Listed,
        copied: &mut Copied,
    ) -> Result<(), StoreError> {
        if let Some(fault) = self.reach.unreadable.get(&at) {
            return Err(fault.clone());
        }
        let mut named: BTreeMap<u32, bool> = BTreeMap::new();
        self.reach.each(at, |object, is_needed| {
            *named.entry(object).or_default() |= is_needed;
        });
        let mut objects = futures_util::stream::iter(named)
            .map(|(object, is_needed)| self.object(object, is_needed))
            .buffer_unordered(COPIES);
        while let Some((is_new, bytes)) = objects.try_next().await? {
            if is_new {
                copied.copied.add(bytes);
            } else {
                copied.there.add(bytes);
            }
            self.voice.progress(Progress::Moved {
                doing: "copying".to_owned(),
                bytes: copied.copied.bytes,
            });
        }
        let bytes = self.from.get(document.path(), DOCUMENT_MAX_BYTES).await?;
        catalog::publish_as_it_is(self.to, document.path(), bytes).await
    }

    /// Copies an object, if it is not there: whether it was, and its bytes.
    async fn object(&self, object: u32, is_needed: bool) -> Result<(bool, u64), StoreError> {
        let named = &self.reach.objects[object as usize];
        let there = self.there.holds(&named.path);
        if let Some(bytes) = there.filter(|bytes| *bytes >= named.min_bytes) {
            return Ok((false, bytes));
        }
        match closure::whole(self.from, &named.path).await {
            Ok(bytes) => {
                let size = bytes.len() as u64;
                self.to.put(&named.path, bytes).await?;
                Ok((true, size))
            }
            // Advice that cannot be read is as good as none.
            Err(error) if error.is_damage() && !is_needed => Ok((false, 0)),
            Err(error) => Err(error),
        }
    }
}

/// What a store holds and will go on to hold for some time: what is named there by documents of the same
/// lineages, and what it has got of late. All else may be garbage, which is removed at any time.
struct There(HashMap<String, u64>);

impl There {
    async fn look(objects: &Objects, copied: &[&Listed]) -> Result<Self, StoreError> {
        let documents = documents::list(objects).await?;
        let lineages: HashSet<&str> = copied.iter().map(|one| one.place().lineage).collect();
        let same = documents
            .iter()
            .filter(|one| lineages.contains(one.place().lineage));
        let same: Vec<&Listed> = same.collect();
        let reach = Reach::of(objects, &same).await?;
        let listings = address::CONTENT.map(|folder| async move {
            objects
                .entries(&format!("{}/{folder}", address::FORMAT))
                .await
        });
        let listed = try_join_all(listings).await?;
        let now_ms = now_ms();
        let stays = listed.into_iter().flatten().filter(|entry| {
            let brief = address::parse_content(&entry.path);
            let is_named = brief.is_some_and(|brief| reach.number(brief).is_some());
            // Clocks may differ, and this one has half of the grace to be wrong by.
            is_named || now_ms.saturating_sub(entry.modified_ms) < REUSE_MS / 2
        });
        Ok(Self(stays.map(|entry| (entry.path, entry.bytes)).collect()))
    }

    fn holds(&self, path: &str) -> Option<u64> {
        self.0.get(path).copied()
    }
}
