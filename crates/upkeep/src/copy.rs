//! Copying documents with all that they name to another store.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_local::people::{Progress, Voice};
use larder_model::address;
use larder_model::garbage::{Brief, GARBAGE_MAX_BYTES, Garbage};
use larder_store::{Objects, StoreError, catalog, closure};
use serde::Serialize;

use crate::documents::Listed;
use crate::gc::Amount;
use crate::reach::Reach;

/// Objects that are copied at once: each is in memory.
const COPIES: usize = 4;
/// Most bytes of a document.
const DOCUMENT_MAX_BYTES: usize = 16 * 1024 * 1024;

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
    let there = There::look(to).await?;
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
            Err(error) => copied.left_out.push(((*document).clone(), error.to_string())),
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
    async fn document(&self, at: usize, document: &Listed, copied: &mut Copied) -> Result<(), StoreError> {
        if let Some(fault) = self.reach.unreadable.get(&at) {
            return Err(fault.clone());
        }
        let mut named: BTreeMap<u32, bool> = BTreeMap::new();
        self.reach.each(at, |object, is_needed| *named.entry(object).or_default() |= is_needed);
        let mut objects = futures_util::stream::iter(named)
            .map(|(object, is_needed)| self.object(object, is_needed))
            .buffer_unordered(COPIES);
        while let Some((is_new, bytes)) = objects.try_next().await? {
            match is_new {
                true => copied.copied.add(bytes),
                false => copied.there.add(bytes),
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

/// What a store holds and will go on to hold: what is garbage there may be removed at any time.
struct There {
    sizes: HashMap<String, u64>,
    garbage: HashSet<Brief>,
}

impl There {
    /// Looks at the lists of garbage before at what is there.
    async fn look(objects: &Objects) -> Result<Self, StoreError> {
        let mut garbage = HashSet::new();
        for folder in [address::garbage(), address::sweeps()] {
            for entry in objects.entries(&folder).await? {
                match objects.get(&entry.path, GARBAGE_MAX_BYTES).await {
                    Ok(bytes) => garbage.extend(Garbage::decode(&bytes).unwrap_or_default().iter()),
                    Err(error) if error.is_damage() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let listings = address::CONTENT.map(|folder| async move {
            objects.entries(&format!("{}/{folder}", address::FORMAT)).await
        });
        let listed = try_join_all(listings).await?;
        let sizes = listed.into_iter().flatten().map(|entry| (entry.path, entry.bytes));
        Ok(Self {
            sizes: sizes.collect(),
            garbage,
        })
    }

    fn holds(&self, path: &str) -> Option<u64> {
        let brief = address::parse_content(path)?;
        let stays = !self.garbage.contains(&brief);
        stays.then(|| self.sizes.get(path).copied()).flatten()
    }
}
