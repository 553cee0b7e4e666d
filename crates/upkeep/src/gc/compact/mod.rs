//! Compaction: documents are laid out anew, so that packs can go of which little is still named.
//!
//! A document that was laid out anew takes the place of the one that it was: it has its line, its time and all that its
//! job said, and another map and hot list, or other recipes. It is published as a job would publish it, and the one
//! before is retired after that. So jobs find one of them at any moment, whoever has read the one before has the
//! grace, and who is killed leaves both, of which the next collection retires one.
//!
//! Rewritten is what we would have written just so: what another key has signed stays as it is, and so does what a newer
//! Larder has said more in. What is marked stays too, or its mark would say nothing any more.

mod live;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use larder_local::people::{Progress, Voice};
use larder_model::address::Kind;
use larder_model::archive::{Archive, PartRef};
use larder_model::compaction::{self, Pack};
use larder_model::digest::{HotListId, LeavesId, MapId, PackId};
use larder_model::document::Document;
use larder_model::hot::HotList;
use larder_model::map::LeafRef;
use larder_model::snapshot::Snapshot;
use larder_store::{ArchiveRelayout, Found, Objects, Relayout, StoreError, catalog, closure};

use self::live::Live;
use super::plan::Compacted;
use super::{Known, Run};
use crate::documents::{self, Listed};
use crate::reach;

/// Requests at once.
const READS: usize = 16;
/// Regions of a volume that is laid out anew, at most (128 GiB): a save reads no more of a map at once.
const LEAVES_MAX: usize = 2_048;

/// A document that can be written anew, by its number.
struct Movable {
    at: usize,
    content: Content,
}

/// What a document names, as far as it is looked at.
enum Content {
    Volume {
        leaves: Vec<LeafRef>,
        list: Option<HotList>,
    },
    Blobs(Vec<PartRef>),
}

/// Says what would be gained, and does it unless nothing is to be changed.
pub(super) async fn run(
    run: &Run<'_>,
    known: &Known<'_>,
    voice: &dyn Voice,
) -> Result<Compacted, StoreError> {
    let mut compacted = Compacted::default();
    if run.plan.compact_bytes == 0 {
        return Ok(compacted);
    }
    // What follows looks at as much again before it moves anything.
    if run.begun.elapsed() > run.plan.compact_within / 2 {
        let why = "the store is large or slow; with --compact SIZE it is given the time";
        compacted.left_out = Some(why.to_owned());
        return Ok(compacted);
    }
    voice.progress(Progress::Begun("looking for scattered packs".to_owned()));
    let looked = Looked::at(run, known).await?;
    let given_up = compaction::given_up(&looked.packs, &looked.volumes, run.plan.compact_bytes);
    let given_up: BTreeSet<u32> = given_up.into_iter().map(|at| at as u32).collect();
    for pack in &given_up {
        let pack = &looked.packs[*pack as usize];
        compacted.given_up.add(pack.bytes);
        compacted.stored_bytes += pack.live_bytes;
    }
    let concerned = looked.movable.into_iter().filter(|at| {
        let mut is_concerned = false;
        known
            .reach
            .each(*at, |object, _| is_concerned |= given_up.contains(&object));
        is_concerned
    });
    let concerned: Vec<usize> = concerned.collect();
    compacted.documents = concerned.len();
    if run.plan.dry_run || concerned.is_empty() {
        return Ok(compacted);
    }
    let doing = format!("laying out {} documents anew", concerned.len());
    voice.progress(Progress::Begun(doing));
    let packs = given_up.iter().map(|pack| {
        let path = &known.reach.objects[*pack as usize].path;
        let id = path.rsplit('/').next().unwrap_or_default();
        id.parse::<PackId>().expect("it is named by its content")
    });
    let mut mover = Mover::new(run, known, packs.collect());
    mover.all(concerned).await?;
    Ok(Compacted {
        documents: mover.documents,
        stored_bytes: mover.volumes.stored_bytes() + mover.archives.stored_bytes(),
        left_out: mover.left_out,
        ..compacted
    })
}

/// What the rules need to know.
struct Looked {
    /// By the numbers of the objects; what is no pack, or named by none of these documents, is fixed.
    packs: Vec<Pack>,
    volumes: Vec<Vec<usize>>,
    /// The documents that can be written anew.
    movable: Vec<usize>,
}

impl Looked {
    async fn at(run: &Run<'_>, known: &Known<'_>) -> Result<Self, StoreError> {
        let staying = (0..known.documents.len()).filter(|at| known.stays[*at]);
        let (ours, others): (Vec<usize>, Vec<usize>) =
            staying.partition(|at| run.may_move(known.documents[*at]));
        let reads = ours.into_iter().map(|at| async move {
            let read = content(run.objects, known.documents[at]).await;
            (at, read)
        });
        let reads: Vec<_> = reads.collect();
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS);
        let (mut movable, mut fixed) = (Vec::new(), others);
        while let Some((at, read)) = reads.next().await {
            match read {
                Ok(Some(content)) => movable.push(Movable { at, content }),
                Ok(None) => fixed.push(at),
                Err(error) if error.is_damage() => fixed.push(at),
                Err(error) => return Err(error),
            }
        }
        movable.sort_by_key(|one| one.at);
        let sizes = run.inventory.sizes(&known.reach);
        let live = live(run.objects, known, &movable).await?.bytes(sizes.len());
        let numbers: HashSet<usize> = movable.iter().map(|one| one.at).collect();
        let is_named = known.named(|at| numbers.contains(&at));
        let mut packs: Vec<Pack> = Vec::with_capacity(sizes.len());
        for (at, (bytes, live_bytes)) in sizes.into_iter().zip(live).enumerate() {
            // What only retired documents name goes by itself.
            let counts = is_named[at] && known.reach.objects[at].path.contains("/packs/");
            packs.push(Pack {
                bytes: if counts { bytes } else { 0 },
                live_bytes: live_bytes.min(bytes),
                is_fixed: !counts,
            });
        }
        for at in fixed {
            let reach = &known.reach;
            reach.each(at, |object, _| packs[object as usize].is_fixed = true);
        }
        let volumes = movable.iter().map(|one| {
            let mut named = BTreeSet::new();
            known.reach.each(one.at, |object, _| {
                if packs[object as usize].bytes > 0 {
                    named.insert(object as usize);
                }
            });
            named.into_iter().collect()
        });
        Ok(Self {
            volumes: volumes.collect(),
            movable: movable.iter().map(|one| one.at).collect(),
            packs,
        })
    }
}

impl Run<'_> {
    fn may_move(&self, document: &Listed) -> bool {
        self.is_ours(document) && !self.inventory.is_marked(document.place().id)
    }
}

/// What a document names, if it can be written anew; nothing if it is gone, or is not just as we would write it.
async fn content(objects: &Objects, listed: &Listed) -> Result<Option<Content>, StoreError> {
    match listed.place().kind {
        Kind::Snapshot => match own::<Snapshot>(objects, listed).await? {
            Some(snapshot) => volume(objects, snapshot.map, snapshot.hot).await,
            None => Ok(None),
        },
        Kind::Archive => {
            let archive = own::<Archive>(objects, listed).await?;
            Ok(archive.map(|archive| Content::Blobs(reach::parts(archive).collect())))
        }
    }
}

async fn volume(
    objects: &Objects,
    map: MapId,
    hot: Option<HotListId>,
) -> Result<Option<Content>, StoreError> {
    let root = closure::root(objects, map).await?;
    let list = match hot {
        Some(id) => match closure::hot(objects, id, root.blocks()).await {
            Err(error) if error.is_damage() => None,
            list => Some(list?),
        },
        None => None,
    };
    let leaves: Vec<LeafRef> = root.leaves().map(|(_, leaf)| *leaf).collect();
    let fits = leaves.len() <= LEAVES_MAX;
    Ok(fits.then_some(Content::Volume { leaves, list }))
}

/// A document, if its bytes are those that we would write for it.
async fn own<D: Document>(objects: &Objects, listed: &Listed) -> Result<Option<D>, StoreError> {
    let id = listed.place().id.parse();
    let id = id.expect("a path of a document has an id");
    match catalog::read_at::<D>(objects, listed.path(), id).await {
        Ok((document, bytes)) => {
            let ours = objects.keys().signed(D::OBJECT, document.encode().1);
            Ok((ours == bytes).then_some(document))
        }
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is named of each pack. Leaves and parts that several documents share are read once.
async fn live(
    objects: &Objects,
    known: &Known<'_>,
    movable: &[Movable],
) -> Result<Live, StoreError> {
    let mut live = Live::default();
    let mut leaves: BTreeMap<LeavesId, HashSet<LeafRef>> = BTreeMap::new();
    let mut parts = HashSet::new();
    for Movable { at, content } in movable {
        let (own, list) = match content {
            Content::Volume { leaves, list } => (leaves, list),
            Content::Blobs(own) => {
                parts.extend(own.iter().copied());
                continue;
            }
        };
        for leaf in own {
            leaves.entry(leaf.object).or_default().insert(*leaf);
        }
        let mut in_map = HashSet::new();
        known.reach.each(*at, |object, is_needed| {
            if is_needed {
                in_map.insert(object);
            }
        });
        if let Some(list) = list {
            live.hot(list, &known.reach, |pack| in_map.contains(&pack));
        }
    }
    let reads = leaves.into_iter().map(|(object, places)| async move {
        closure::leaves(objects, object, places.into_iter().collect()).await
    });
    let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS);
    while let Some(read) = reads.next().await {
        for (_, leaf) in read? {
            live.leaf(&leaf, &known.reach);
        }
    }
    let reads = parts.into_iter().map(|place| closure::part(objects, place));
    let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS);
    while let Some(read) = reads.next().await {
        live.part(&read?, &known.reach);
    }
    Ok(live)
}

/// Writes documents anew.
struct Mover<'a> {
    run: &'a Run<'a>,
    known: &'a Known<'a>,
    volumes: Relayout,
    archives: ArchiveRelayout,
    documents: usize,
    left_out: Option<String>,
}

impl<'a> Mover<'a> {
    fn new(run: &'a Run<'a>, known: &'a Known<'a>, packs: HashSet<PackId>) -> Self {
        Self {
            run,
            known,
            volumes: Relayout::new(run.objects.clone(), packs.clone()),
            archives: ArchiveRelayout::new(run.objects.clone(), packs),
            documents: 0,
            left_out: None,
        }
    }

    /// Writes these documents anew, those of a line one after the other, the newest first. What is damaged is left out.
    async fn all(&mut self, mut numbers: Vec<usize>) -> Result<(), StoreError> {
        let known = self.known;
        numbers.sort_by_key(|at| {
            let place = known.documents[*at].place();
            (place.lineage, Reverse(place.created_ms))
        });
        for at in numbers {
            if !self.run.is_in_time() || self.run.begun.elapsed() >= self.run.plan.compact_within {
                self.left_out = Some("it takes long; the next collection goes on".to_owned());
                break;
            }
            match self.one(known.documents[at]).await {
                Ok(is_done) => self.documents += usize::from(is_done),
                // What was stored for others may be gone, too.
                Err(error @ StoreError::Collected { .. }) => {
                    self.left_out = Some(error.to_string());
                    break;
                }
                Err(error) if error.is_damage() => {
                    self.left_out.get_or_insert_with(|| error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn one(&mut self, listed: &Listed) -> Result<bool, StoreError> {
        let objects = self.run.objects;
        match listed.place().kind {
            Kind::Snapshot => {
                let Some(snapshot) = own::<Snapshot>(objects, listed).await? else {
                    return Ok(false);
                };
                let (map, hot) = self.volumes.volume(snapshot.map, snapshot.hot).await?;
                let is_new = (map, hot) != (snapshot.map, snapshot.hot);
                let id = listed.place().id.parse().expect("it was read by it");
                let anew = Snapshot {
                    map,
                    // What of another list would be read at once lies elsewhere.
                    first: Vec::new(),
                    hot,
                    original: snapshot.original.or(Some(id)),
                    ..snapshot
                };
                self.replace(listed, &anew, is_new).await
            }
            Kind::Archive => {
                let Some(archive) = own::<Archive>(objects, listed).await? else {
                    return Ok(false);
                };
                let id = listed.place().id.parse().expect("it was read by it");
                let document = archive.clone();
                let blobs = self.archives.archive(Found { id, document }).await?;
                let is_new = blobs != archive.blobs;
                let anew = Archive {
                    blobs,
                    original: archive.original.or(Some(id)),
                    ..archive
                };
                self.replace(listed, &anew, is_new).await
            }
        }
    }

    /// Publishes a document, and retires the one that it was, if that is still there and something has moved.
    async fn replace<D: Document>(
        &self,
        listed: &Listed,
        anew: &D,
        is_new: bool,
    ) -> Result<bool, StoreError> {
        let objects = self.run.objects;
        let is_there = is_new && objects.size(listed.path()).await.is_some();
        if !is_there || !self.run.is_in_time() {
            return Ok(false);
        }
        let publishing = catalog::publish(objects, anew);
        let published = tokio::time::timeout(self.run.quarter(), publishing).await;
        let path = listed.path().to_owned();
        published.map_err(|_| StoreError::Collected { path })??;
        documents::retire(objects, &[listed]).await?;
        Ok(true)
    }
}

impl Run<'_> {
    /// Whether what was read when the collection began is held for long enough, as that of a job is that publishes
    /// now. Without a grace nobody else collects.
    fn is_in_time(&self) -> bool {
        self.begun.elapsed() < self.quarter()
    }

    fn quarter(&self) -> Duration {
        match self.plan.grace {
            Duration::ZERO => Duration::from_secs(24 * 3600),
            grace => grace / 4,
        }
    }
}
