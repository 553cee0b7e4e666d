//! What a store holds, by its listings.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::try_join_all;
use larder_model::address::{self, Place};
use larder_model::garbage::Brief;
use larder_model::mark::COUNTS_MAX_MS;
use larder_store::{Entry, Objects, StoreError};

use super::sweeps::Sweeps;
use super::{Known, Plan};
use crate::documents::{self, Listed};
use crate::reach::Reach;

/// Folders of one version that are looked at: many more than there are.
const FOLDERS_MAX: usize = 64;

/// Where jobs find documents.
const LIVE: [&str; 2] = ["snapshots", "archives"];

/// Lists folders, side by side.
async fn list(
    objects: &Objects,
    folders: impl Iterator<Item = &'static str>,
) -> Result<Vec<Entry>, StoreError> {
    let paths: Vec<String> = folders
        .map(|folder| format!("{}/{folder}", address::FORMAT))
        .collect();
    let listings = paths.iter().map(|path| objects.entries(path));
    let listings = try_join_all(listings).await?;
    Ok(listings.into_iter().flatten().collect())
}

/// The objects of a store, by kinds.
pub(super) struct Inventory {
    pub(super) documents: Vec<Listed>,
    /// Documents that were removed.
    pub(super) retired: Vec<Listed>,
    /// What documents name.
    pub(super) content: HashMap<Brief, Entry>,
    /// Lists of images, by the folder of their project.
    images: BTreeMap<String, Vec<Entry>>,
    marks: Vec<Entry>,
    /// Copies of the newest documents of lineages.
    copies: Vec<Entry>,
    /// What writers that were killed left half-way, in a store that is a folder.
    halves: Vec<Entry>,
    /// A folder that this version does not know: what is in it may name objects.
    pub(super) unknown: Option<String>,
}

impl Inventory {
    /// Lists a store.
    pub(super) async fn of(objects: &Objects) -> Result<Self, StoreError> {
        let known: Vec<&'static str> = address::CONTENT
            .into_iter()
            .chain(address::OTHERS)
            .collect();
        let folders = objects.folders(address::FORMAT, FOLDERS_MAX).await?;
        let unknown = folders
            .into_iter()
            .find(|folder| !known.contains(&folder.as_str()));
        // A document is copied to where it goes before it goes: whoever looks in this order sees it.
        let others = known.into_iter().filter(|folder| !LIVE.contains(folder));
        let mut listings = list(objects, LIVE.into_iter()).await?;
        listings.extend(list(objects, others).await?);
        let mut inventory = Self {
            documents: Vec::new(),
            retired: Vec::new(),
            content: HashMap::new(),
            images: BTreeMap::new(),
            marks: Vec::new(),
            copies: Vec::new(),
            halves: Vec::new(),
            unknown: unknown.map(|folder| format!("{}/{folder}", address::FORMAT)),
        };
        for entry in listings {
            inventory.take(entry);
        }
        Ok(inventory)
    }

    fn take(&mut self, entry: Entry) {
        if let Some(brief) = address::parse_content(&entry.path) {
            self.content.insert(brief, entry);
        } else if let Some(document) = documents::listed(entry.clone()) {
            if document.is_retired() {
                self.retired.push(document);
            } else {
                self.documents.push(document);
            }
        } else if is_half(&entry.path) {
            self.halves.push(entry);
        } else if address::lineage_of_newest(&entry.path).is_some() {
            self.copies.push(entry);
        } else if let Some((folder, name)) = entry.path.rsplit_once('/') {
            if entry.path.starts_with(&address::all_marks()) {
                self.marks.push(entry);
            } else if folder.starts_with(&address::all_images())
                && address::parse_images(name).is_some()
            {
                self.images
                    .entry(folder.to_owned())
                    .or_default()
                    .push(entry);
            }
        }
    }

    /// Whether somebody has marked a document.
    pub(super) fn is_marked(&self, id: &str) -> bool {
        let mut of = self.marks.iter().map(|mark| mark.path.split('/').nth(2));
        of.any(|document| document == Some(id))
    }

    /// The sizes of what documents name, by number; what is not there has none.
    pub(super) fn sizes(&self, reach: &Reach) -> Vec<u64> {
        let sizes = reach.objects.iter().map(|named| {
            let entry =
                address::parse_content(&named.path).and_then(|brief| self.content.get(&brief));
            entry.map_or(0, |entry| entry.bytes)
        });
        sizes.collect()
    }

    /// What nobody looks at any more, and no document names: halves of objects, all lists of images but the
    /// newest of each project, marks that do not count or are of documents that are gone, copies of lineages in which
    /// nothing is left.
    pub(super) fn useless(&self, sweeps: &Sweeps, plan: &Plan, known: &Known<'_>) -> Vec<Entry> {
        let documents = (0..)
            .zip(&known.documents)
            .filter(|(at, _)| known.stays[*at]);
        let places: Vec<Place<'_>> = documents.map(|(_, one)| one.place()).collect();
        let ids: HashSet<&str> = places.iter().map(|place| place.id).collect();
        let projects: HashSet<&str> = places.iter().map(|place| place.project).collect();
        let lineages: HashSet<&str> = places.iter().map(|place| place.lineage).collect();
        let age_ms = |entry: &Entry| sweeps.age_ms(entry.modified_ms);
        let mut useless: Vec<&Entry> = self.halves.iter().collect();
        useless.extend(self.marks.iter().filter(|entry| {
            let of = entry.path.split('/').nth(2);
            age_ms(entry) >= COUNTS_MAX_MS || of.is_none_or(|id| !ids.contains(id))
        }));
        useless.extend(self.copies.iter().filter(|entry| {
            let of = address::lineage_of_newest(&entry.path);
            of.is_none_or(|lineage| !lineages.contains(lineage))
        }));
        for (folder, images) in &self.images {
            let newest = newest(images, sweeps.now_ms);
            let is_live = folder
                .rsplit('/')
                .next()
                .is_some_and(|project| projects.contains(project));
            let is_old = |entry| {
                plan.rules
                    .older_than_ms
                    .is_some_and(|max| age_ms(entry) >= max)
            };
            useless.extend(images.iter().filter(|entry| {
                newest.is_none_or(|newest| newest.path != entry.path) || !is_live && is_old(entry)
            }));
        }
        useless.retain(|entry| sweeps.is_past_grace(entry.modified_ms));
        useless.into_iter().cloned().collect()
    }
}

/// What `object_store` calls a file that is being written (`local.rs`, `staged_upload_path`).
fn is_half(path: &str) -> bool {
    let number = path.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()))
}

/// The list of images that jobs read.
fn newest(images: &[Entry], now_ms: u64) -> Option<&Entry> {
    let ahead = address::ahead(now_ms);
    let name = |entry: &Entry| entry.path.rsplit('/').next().unwrap_or_default().to_owned();
    let counts = images.iter().filter(|entry| name(entry) > ahead);
    counts.min_by_key(|entry| name(entry))
}
