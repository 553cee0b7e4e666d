//! Objects that are named by their content, put together in bundles.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use object_store::{PutPayload, Result};

use crate::GitHub;
use crate::entry::{BUNDLES, Header};
use crate::service::unclear;

/// A bundle is written when so much is held: few are made, and each is one upload.
const BUNDLE_BYTES: usize = 64 * 1024 * 1024;
/// Bundles that a document may need: each is asked for before it is used. If there are more, the smallest are put
/// together until there are so few that it does not happen again at once.
const BUNDLES_MAX: usize = 16;
const BUNDLES_AFTER: usize = 10;

/// Where objects are.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: HashMap<String, Place>,
    /// What the bundles have, by their keys.
    bundles: HashMap<String, u64>,
    /// What no bundle has yet.
    held: HashMap<String, Bytes>,
    /// Those of them that are on no way yet, in order.
    open: Vec<String>,
    open_bytes: usize,
}

/// A range of a bundle.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) bundle: String,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Table {
    /// Takes over what the entry of a document says.
    pub(super) fn learn(&mut self, header: &Header) {
        self.bundles.extend(header.bundles.iter().cloned());
        for (path, (bundle, offset, bytes)) in &header.objects {
            let place = Place {
                bundle: header.bundles[*bundle].0.clone(),
                offset: *offset,
                bytes: *bytes,
            };
            self.places.insert(path.clone(), place);
        }
    }

    /// Where an object is, or its bytes if they are here.
    pub(super) fn find(&self, path: &str) -> (Option<Place>, Option<Bytes>) {
        (self.places.get(path).cloned(), self.held.get(path).cloned())
    }

    fn hold(&mut self, path: &str, content: Bytes) {
        if !self.held.contains_key(path) {
            self.open_bytes += content.len();
            self.open.push(path.to_owned());
            self.held.insert(path.to_owned(), content);
        }
    }

    /// What is to become a bundle.
    fn take_open(&mut self) -> Vec<(String, Bytes)> {
        self.open_bytes = 0;
        let open = std::mem::take(&mut self.open).into_iter();
        let open = open.map(|path| (path.clone(), self.held[&path].clone()));
        open.collect()
    }

    /// It did not become one.
    fn give_back(&mut self, batch: Vec<(String, Bytes)>) {
        for (path, content) in batch {
            self.open_bytes += content.len();
            self.open.push(path);
        }
    }

    /// The bundles of which too little is needed, or that are too many and small.
    fn scattered(&self, names: &BTreeSet<String>) -> HashSet<String> {
        let mut live: HashMap<&str, u64> = HashMap::new();
        for place in names.iter().filter_map(|name| self.places.get(name)) {
            *live.entry(&place.bundle).or_default() += place.bytes;
        }
        let all = |bundle: &str| self.bundles.get(bundle).copied().unwrap_or_default();
        let (mut scattered, mut stay): (Vec<_>, Vec<_>) = live
            .into_iter()
            .partition(|(bundle, bytes)| bytes * 2 < all(bundle));
        if stay.len() > BUNDLES_MAX {
            stay.sort_unstable_by_key(|(_, bytes)| *bytes);
            scattered.extend(stay.drain(..stay.len() - BUNDLES_AFTER));
        }
        let keys = scattered.into_iter().map(|(bundle, _)| bundle.to_owned());
        keys.collect()
    }

    /// What an entry says of these objects.
    fn header(&self, names: &BTreeSet<String>) -> Result<Header> {
        let mut header = Header::default();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for name in names {
            let Some(place) = self.places.get(name) else {
                return Err(unclear(format!("{name} was not stored")));
            };
            let bundles = &mut header.bundles;
            let number = *numbers.entry(&place.bundle).or_insert_with(|| {
                let bytes = self.bundles.get(&place.bundle).copied();
                bundles.push((place.bundle.clone(), bytes.unwrap_or_default()));
                bundles.len() - 1
            });
            let place = (number, place.offset, place.bytes);
            header.objects.insert(name.clone(), place);
        }
        Ok(header)
    }
}

impl GitHub {
    /// Holds an object until its bundle is full.
    pub(super) async fn hold(&self, path: &str, content: Bytes) -> Result<()> {
        let is_full = {
            let mut table = self.0.table.lock();
            table.hold(path, content);
            table.open_bytes >= BUNDLE_BYTES
        };
        if is_full { self.flush().await } else { Ok(()) }
    }

    /// Writes what is held as a bundle.
    async fn flush(&self) -> Result<()> {
        let batch = self.0.table.lock().take_open();
        if batch.is_empty() {
            return Ok(());
        }
        let mut hasher = blake3::Hasher::new();
        for (_, content) in &batch {
            hasher.update(content);
        }
        let name = format!("{BUNDLES}{}", hasher.finalize().to_hex());
        let payload: PutPayload = batch.iter().map(|(_, content)| content.clone()).collect();
        let created = self.0.service.create(&name, payload).await;
        let mut table = self.0.table.lock();
        let bundle = match created {
            Ok(bundle) => bundle,
            Err(error) => {
                table.give_back(batch);
                return Err(error);
            }
        };
        let mut offset = 0;
        for (path, content) in batch {
            let place = Place {
                bundle: bundle.clone(),
                offset,
                bytes: content.len() as u64,
            };
            offset += place.bytes;
            table.held.remove(&path);
            table.places.insert(path, place);
        }
        table.bundles.insert(bundle, offset);
        Ok(())
    }

    /// Puts all of these objects into few bundles, and says where they are.
    pub(super) async fn gather(&self, names: &BTreeSet<String>) -> Result<Header> {
        let moving: Vec<String> = {
            let table = self.0.table.lock();
            let scattered = table.scattered(names);
            let is_there = |name: &&String| {
                let place = table.places.get(*name);
                place.is_some_and(|place| scattered.contains(&place.bundle))
            };
            names.iter().filter(is_there).cloned().collect()
        };
        for name in moving {
            let content = self.read(&name, None).await?;
            let content = content.ok_or_else(|| unclear(format!("{name} is gone")))?;
            self.hold(&name, content.bytes).await?;
        }
        self.flush().await?;
        self.0.table.lock().header(names)
    }
}
