//! Finding what is damaged in a store, and dropping what cannot be read.

use std::collections::{BTreeMap, HashMap};

use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use larder_local::people::{Progress, Voice};
use larder_model::address;
use larder_store::{Objects, StoreError, closure};
use serde::Serialize;

use crate::documents::{self, Listed};
use crate::gc::Amount;
use crate::reach::Reach;

/// What is wrong in a store.
#[derive(Debug, Default, Serialize)]
pub struct Checked {
    /// Documents that were looked at.
    pub documents: usize,
    /// Objects that they name.
    pub named: Amount,
    /// Bytes that were read and compared with their digests.
    pub compared_bytes: u64,
    /// Objects that are damaged or missing, and why.
    pub damaged: BTreeMap<String, String>,
    /// Documents that cannot be used any more, or not wholly, and why.
    pub lost: Vec<Lost>,
    /// Documents of which only what makes a start faster is damaged.
    pub slower: Vec<Listed>,
    /// Documents of a newer Larder, which were not looked at.
    pub unknown: Vec<Listed>,
    /// Whether what is lost was removed.
    pub repaired: bool,
}

/// A document that is of no use.
#[derive(Debug, Serialize)]
pub struct Lost {
    /// Its path.
    pub document: Listed,
    /// What is wrong with it.
    pub why: String,
    /// How long the store has had it.
    pub stored_ms: u64,
}

/// Looks whether all that documents name is there, and long enough; with `data`, also whether every byte is
/// what it should be.
pub async fn verify(
    objects: &Objects,
    data: bool,
    voice: &dyn Voice,
) -> Result<Checked, StoreError> {
    voice.progress(Progress::Begun("listing the store".to_owned()));
    let documents = documents::list(objects).await?;
    voice.progress(Progress::Begun(format!(
        "reading {} documents",
        documents.len()
    )));
    let all: Vec<&Listed> = documents.iter().collect();
    let mut reach = Reach::of(objects, &all).await?;
    let mut checked = Checked {
        documents: documents.len(),
        ..Checked::default()
    };
    compare_sizes(objects, &mut reach, &mut checked).await?;
    if data {
        compare_bytes(objects, &mut reach, &mut checked, voice).await?;
    }
    voice.progress(Progress::Over);
    checked.judge(&documents, &reach);
    Ok(checked)
}

/// Removes the documents that are lost. What they named and nobody else does is garbage then; what is damaged
/// of it is written anew by the next save that has the same content.
pub async fn repair(objects: &Objects, checked: &mut Checked) -> Result<(), StoreError> {
    let lost: Vec<&Listed> = checked.lost.iter().map(|lost| &lost.document).collect();
    documents::retire(objects, &lost).await?;
    checked.repaired = !lost.is_empty();
    Ok(())
}

async fn compare_sizes(
    objects: &Objects,
    reach: &mut Reach,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    let listings = address::CONTENT.map(|folder| async move {
        objects
            .entries(&format!("{}/{folder}", address::FORMAT))
            .await
    });
    let mut sizes = HashMap::new();
    for entry in try_join_all(listings).await?.into_iter().flatten() {
        sizes.insert(entry.path, entry.bytes);
    }
    for (number, named) in reach.objects.iter().enumerate() {
        let number = number as u32;
        let fault = match sizes.get(&named.path) {
            Some(bytes) => {
                checked.named.add(*bytes);
                let why = format!(
                    "it is cut short: {bytes} of at least {} bytes",
                    named.min_bytes
                );
                let path = named.path.clone();
                (*bytes < named.min_bytes).then_some(StoreError::Damaged { path, why })
            }
            None => Some(StoreError::Missing {
                path: named.path.clone(),
            }),
        };
        if let Some(fault) = fault {
            reach.faults.entry(number).or_insert(fault);
        }
    }
    Ok(())
}

/// Reads all that is named, on every core.
async fn compare_bytes(
    objects: &Objects,
    reach: &mut Reach,
    checked: &mut Checked,
    voice: &dyn Voice,
) -> Result<(), StoreError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let named: Vec<(u32, String)> = (0..)
        .zip(&reach.objects)
        .filter(|(number, _)| !reach.faults.contains_key(number))
        .map(|(number, named)| (number, named.path.clone()))
        .collect();
    let reads = named
        .iter()
        .map(|(number, path)| async move { (*number, closure::whole(objects, path).await) });
    // One more than can be compared at once is on its way.
    let mut reads = futures_util::stream::iter(reads).buffer_unordered(cores + 1);
    while let Some((number, read)) = reads.next().await {
        match read {
            Ok(bytes) => checked.compared_bytes += bytes.len() as u64,
            Err(error) if error.may_pass() => return Err(error),
            Err(error) => drop(reach.faults.insert(number, error)),
        }
        voice.progress(Progress::Moved {
            doing: "verifying".to_owned(),
            bytes: checked.compared_bytes,
        });
    }
    Ok(())
}

impl Checked {
    /// Whether nothing is lost.
    pub fn is_sound(&self) -> bool {
        self.lost.is_empty()
    }

    /// Which documents the faults touch.
    fn judge(&mut self, documents: &[Listed], reach: &Reach) {
        for (number, error) in &reach.faults {
            let path = reach.objects[*number as usize].path.clone();
            self.damaged.insert(path, error.to_string());
        }
        for (at, document) in documents.iter().enumerate() {
            let mut needed = None;
            let mut is_slower = false;
            if reach.unreadable.contains_key(&at) {
                needed = reach.unreadable.get(&at);
            } else if !reach.faults.is_empty() {
                reach.each(at, |object, is_needed| match reach.faults.get(&object) {
                    Some(error) if is_needed => needed = needed.or(Some(error)),
                    Some(_) => is_slower = true,
                    None => {}
                });
            }
            match needed {
                Some(StoreError::Version { .. }) => self.unknown.push(document.clone()),
                Some(error) => self.lost.push(Lost {
                    document: document.clone(),
                    why: error.to_string(),
                    stored_ms: document.modified_ms(),
                }),
                None if is_slower => self.slower.push(document.clone()),
                None => {}
            }
        }
    }
}
