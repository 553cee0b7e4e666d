//! What documents name, all the way down: objects by number, so that thousands of documents that share most
//! of theirs take little memory, and each object is read once.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use futures_util::StreamExt as _;
use larder_model::address::{self, Kind};
use larder_model::archive::{Archive, PartRef, Place as BlobPlace};
use larder_model::digest::{HotListId, LeavesId, MapId};
use larder_model::document::Document;
use larder_model::garbage::Brief;
use larder_model::map::LeafRef;
use larder_model::snapshot::Snapshot;
use larder_store::{Objects, StoreError, catalog, closure};

use crate::documents::Listed;

/// Requests at once.
const READS: usize = 32;

/// Objects that documents name.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    numbers: HashMap<Brief, u32>,
    /// By number: where it is, and how long it is at least, by what is said to be in it.
    pub(crate) objects: Vec<Named>,
    /// What a document says, as far as it can be read.
    documents: Vec<Said>,
    roots: Vec<Branches>,
    hot: Vec<Vec<u32>>,
    /// The packs that a leaf or a part names.
    packs: Vec<Box<[u32]>>,
    /// Documents that cannot be read.
    pub(crate) unreadable: BTreeMap<usize, StoreError>,
    /// Objects that cannot be read, or are not what they should be.
    pub(crate) faults: BTreeMap<u32, StoreError>,
}

/// An object, as others say it should be.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) path: String,
    pub(crate) min_bytes: u64,
}

/// Leaves or parts, and the objects that they rest in.
#[derive(Debug, Clone, Default)]
struct Branches {
    objects: Vec<u32>,
    packs: Vec<u32>,
}

#[derive(Debug, Clone, Default)]
struct Said {
    /// Numbers of the map's root, among objects and among roots.
    root: Option<(u32, usize)>,
    /// The same of the hot list.
    hot: Option<(u32, usize)>,
    parts: Branches,
    /// What it was before it was laid out anew.
    original: Option<Brief>,
}

/// A document's content.
enum Read {
    Snapshot {
        map: MapId,
        hot: Option<HotListId>,
        original: Option<Brief>,
    },
    Archive(Vec<PartRef>, Option<Brief>),
    /// It was removed meanwhile.
    Nothing,
}

/// What is still to be read: each once.
#[derive(Default)]
struct Wanted {
    roots: Numbered<MapId>,
    hot: Numbered<HotListId>,
    leaves: Numbered<LeafRef>,
    parts: Numbered<PartRef>,
}

/// Different things, numbered as they come.
struct Numbered<T>(HashMap<T, usize>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Copy + Eq + Hash> Numbered<T> {
    fn number(&mut self, one: T) -> usize {
        let next = self.0.len();
        *self.0.entry(one).or_insert(next)
    }

    fn in_order(self) -> Vec<T> {
        let mut all: Vec<(usize, T)> = self.0.into_iter().map(|(one, at)| (at, one)).collect();
        all.sort_unstable_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, one)| one).collect()
    }
}

impl Reach {
    /// Reads what these documents name. A store in trouble is an error; what is damaged is among the faults.
    pub(crate) async fn of(objects: &Objects, documents: &[&Listed]) -> Result<Self, StoreError> {
        let mut reach = Self::default();
        let mut wanted = Wanted::default();
        reach
            .read_documents(objects, documents, &mut wanted)
            .await?;
        let sizes = reach.read_roots(objects, &mut wanted).await?;
        reach
            .packs
            .resize(wanted.leaves.0.len() + wanted.parts.0.len(), Box::default());
        let first_part = wanted.leaves.0.len() as u32;
        reach.read_leaves(objects, wanted.leaves).await?;
        reach.read_parts(objects, wanted.parts, first_part).await?;
        reach.read_hot(objects, wanted.hot, &sizes).await?;
        // Parts are numbered behind the leaves.
        for said in &mut reach.documents {
            said.parts
                .packs
                .iter_mut()
                .for_each(|part| *part += first_part);
        }
        Ok(reach)
    }

    /// Tells the number of each object that a document names, and whether it is needed, or advice. The same
    /// may be told again.
    pub(crate) fn each(&self, document: usize, mut tell: impl FnMut(u32, bool)) {
        let said = &self.documents[document];
        let mut branches = vec![&said.parts];
        if let Some((object, root)) = said.root {
            tell(object, true);
            branches.push(&self.roots[root]);
        }
        for branch in branches {
            branch.objects.iter().for_each(|object| tell(*object, true));
            let packs = branch
                .packs
                .iter()
                .flat_map(|one| &self.packs[*one as usize]);
            packs.for_each(|pack| tell(*pack, true));
        }
        if let Some((object, hot)) = said.hot {
            tell(object, false);
            self.hot[hot].iter().for_each(|pack| tell(*pack, false));
        }
    }

    /// What a document was before it was laid out anew.
    pub(crate) fn original(&self, document: usize) -> Option<Brief> {
        self.documents[document].original
    }

    /// The number of an object, if a document names it.
    pub(crate) fn number(&self, object: Brief) -> Option<u32> {
        self.numbers.get(&object).copied()
    }

    fn named(&mut self, path: String, min_bytes: u64) -> u32 {
        let brief = address::parse_content(&path).expect("it is named by its content");
        let number = *self
            .numbers
            .entry(brief)
            .or_insert(self.objects.len() as u32);
        if number as usize == self.objects.len() {
            self.objects.push(Named { path, min_bytes });
        }
        let known = &mut self.objects[number as usize];
        known.min_bytes = known.min_bytes.max(min_bytes);
        number
    }

    async fn read_documents(
        &mut self,
        objects: &Objects,
        documents: &[&Listed],
        wanted: &mut Wanted,
    ) -> Result<(), StoreError> {
        self.documents = vec![Said::default(); documents.len()];
        // Gathered, or the compiler cannot tell that another thread may go on with it.
        let reads: Vec<_> = documents
            .iter()
            .enumerate()
            .map(|(at, listed)| async move { (at, read(objects, listed).await) })
            .collect();
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS);
        while let Some((at, read)) = reads.next().await {
            match read {
                Ok(read) => self.documents[at] = self.said(read, wanted),
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => drop(self.unreadable.insert(at, error)),
            }
        }
        Ok(())
    }

    fn said(&mut self, read: Read, wanted: &mut Wanted) -> Said {
        let mut said = Said::default();
        match read {
            Read::Nothing => {}
            Read::Snapshot { map, hot, original } => {
                said.original = original;
                said.root = Some((self.named(address::map(map), 0), wanted.roots.number(map)));
                said.hot = hot.map(|id| (self.named(address::hot(id), 0), wanted.hot.number(id)));
            }
            Read::Archive(parts, original) => {
                said.original = original;
                for part in parts {
                    let end = part.range().end;
                    let object = self.named(address::recipes(part.object), end);
                    said.parts.objects.push(object);
                    said.parts.packs.push(wanted.parts.number(part) as u32);
                }
                said.parts.objects.dedup();
            }
        }
        said
    }

    /// Each root's leaves; the sizes of the volumes, for their hot lists.
    async fn read_roots(
        &mut self,
        objects: &Objects,
        wanted: &mut Wanted,
    ) -> Result<HashMap<usize, u64>, StoreError> {
        let ids = std::mem::take(&mut wanted.roots).in_order();
        self.roots = vec![Branches::default(); ids.len()];
        let mut sizes = HashMap::new();
        let reads = ids.into_iter().enumerate();
        let reads = reads.map(|(at, id)| async move { (at, id, closure::root(objects, id).await) });
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS);
        while let Some((at, id, root)) = reads.next().await {
            let Some(root) = self.or_fault(&address::map(id), root)? else {
                continue;
            };
            sizes.insert(at, root.blocks());
            let mut branches = Branches::default();
            for (_, leaf) in root.leaves() {
                let object = self.named(address::leaves(leaf.object), leaf.range().end);
                branches.objects.push(object);
                branches.packs.push(wanted.leaves.number(*leaf) as u32);
            }
            branches.objects.sort_unstable();
            branches.objects.dedup();
            self.roots[at] = branches;
        }
        Ok(sizes)
    }

    async fn read_leaves(
        &mut self,
        objects: &Objects,
        wanted: Numbered<LeafRef>,
    ) -> Result<(), StoreError> {
        let mut by_object: BTreeMap<LeavesId, Vec<LeafRef>> = BTreeMap::new();
        for place in wanted.0.keys() {
            by_object.entry(place.object).or_default().push(*place);
        }
        let reads = by_object.into_iter().map(|(object, places)| async move {
            (object, closure::leaves(objects, object, places).await)
        });
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS);
        while let Some((object, leaves)) = reads.next().await {
            let leaves = self.or_fault(&address::leaves(object), leaves)?;
            for (place, leaf) in leaves.into_iter().flatten() {
                let frames = leaf.frames().map(|frame| (frame.pack, frame.range().end));
                let packs = self.packs_of(frames);
                self.packs[wanted.0[&place]] = packs;
            }
        }
        Ok(())
    }

    async fn read_parts(
        &mut self,
        objects: &Objects,
        wanted: Numbered<PartRef>,
        first: u32,
    ) -> Result<(), StoreError> {
        let places = wanted.in_order();
        let reads = places.into_iter().enumerate();
        let reads = reads
            .map(|(at, place)| async move { (at, place, closure::part(objects, place).await) });
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS);
        while let Some((at, place, part)) = reads.next().await {
            if let Some(part) = self.or_fault(&address::recipes(place.object), part)? {
                let frames = part.frames().iter();
                let packs = self.packs_of(frames.map(|frame| (frame.pack, frame.range().end)));
                self.packs[first as usize + at] = packs;
            }
        }
        Ok(())
    }

    async fn read_hot(
        &mut self,
        objects: &Objects,
        wanted: Numbered<HotListId>,
        sizes: &HashMap<usize, u64>,
    ) -> Result<(), StoreError> {
        let mut blocks: HashMap<usize, u64> = HashMap::new();
        for said in &self.documents {
            if let (Some((_, root)), Some((_, hot))) = (said.root, said.hot) {
                blocks
                    .entry(hot)
                    .or_insert_with(|| sizes.get(&root).copied().unwrap_or(u64::MAX));
            }
        }
        let ids = wanted.in_order();
        self.hot = vec![Vec::new(); ids.len()];
        let reads = ids.into_iter().enumerate().map(|(at, id)| {
            let blocks = blocks[&at];
            async move { (at, id, closure::hot(objects, id, blocks).await) }
        });
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(READS);
        while let Some((at, id, list)) = reads.next().await {
            if let Some(list) = self.or_fault(&address::hot(id), list)? {
                let frames = list.frames.iter();
                let frames = frames.filter_map(|frame| Some((frame.pack?, frame.range().end)));
                self.hot[at] = self.packs_of(frames).into_vec();
            }
        }
        Ok(())
    }

    /// The numbers of packs, of which these frames are said to be in them.
    fn packs_of(
        &mut self,
        frames: impl Iterator<Item = (larder_model::digest::PackId, u64)>,
    ) -> Box<[u32]> {
        let mut packs: Vec<u32> = Vec::new();
        let mut last = None;
        for (pack, end) in frames {
            // Frames of a pack come together, and making a path takes longer than all else here.
            match last {
                Some((same, number)) if same == pack => {
                    let known: &mut Named = &mut self.objects[number as usize];
                    known.min_bytes = known.min_bytes.max(end);
                }
                _ => {
                    let number = self.named(address::pack(pack), end);
                    packs.push(number);
                    last = Some((pack, number));
                }
            }
        }
        packs.sort_unstable();
        packs.dedup();
        packs.into_boxed_slice()
    }

    /// What was read; nothing if the object is at fault, which is noted.
    fn or_fault<T>(
        &mut self,
        path: &str,
        read: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.may_pass() => Err(error),
            Err(error) => {
                let number = self.named(path.to_owned(), 0);
                self.faults.insert(number, error);
                Ok(None)
            }
        }
    }
}

async fn read(objects: &Objects, listed: &Listed) -> Result<Read, StoreError> {
    match listed.place().kind {
        Kind::Snapshot => {
            let read = document::<Snapshot>(objects, listed).await?;
            Ok(read.map_or(Read::Nothing, |snapshot| Read::Snapshot {
                map: snapshot.map,
                hot: snapshot.hot,
                original: snapshot.original.map(|id| Brief::of(id.as_bytes())),
            }))
        }
        Kind::Archive => {
            let read = document::<Archive>(objects, listed).await?;
            let Some(archive) = read else {
                return Ok(Read::Nothing);
            };
            let original = archive.original.map(|id| Brief::of(id.as_bytes()));
            Ok(Read::Archive(parts(archive).collect(), original))
        }
    }
}

/// The parts of an archive's recipes.
pub(crate) fn parts(archive: Archive) -> impl Iterator<Item = PartRef> {
    let parts = archive
        .blobs
        .into_values()
        .filter_map(|blob| match blob.place {
            BlobPlace::Recipe(parts) => Some(parts),
            BlobPlace::Inline(_) => None,
        });
    parts.flatten()
}

/// A document, whoever signed it; nothing if it is gone.
pub(crate) async fn document<D: Document>(
    objects: &Objects,
    listed: &Listed,
) -> Result<Option<D>, StoreError> {
    let path = listed.path();
    let id = listed
        .place()
        .id
        .parse()
        .expect("a path of a document has an id");
    let document = match catalog::read_at::<D>(objects, path, id).await {
        Ok((document, _)) => document,
        Err(StoreError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if document.path(id) == path || listed.is_retired() {
        return Ok(Some(document));
    }
    Err(StoreError::Contradiction {
        path: path.to_owned(),
        why: format!("it was made for {}", document.lineage()),
    })
}
