//! Reading ahead: what a job read comes to the next one in few requests, and trouble on the way is
//! nobody's trouble.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use larder_model::digest::PackId;
use larder_model::habit::Reads;
use larder_model::hot::PackRange;
use larder_model::limits::{BLOCK_BYTES, LEAF_BLOCKS};
use larder_store::packer::{self, Changed, Job, Packed};
use larder_store::{FetchedBlock, Location, Objects, Source};
use parking_lot::Mutex;

const VOLUME_BYTES: u64 = 1 << 30;
/// Blocks that each save writes; no two of them are neighbours.
const BLOCKS: u64 = 64;
const SAVES: u64 = 8;

/// Content that does not compress, of one version of a block.
pub(super) fn content(block: u64, version: u64) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_BYTES];
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&block.to_le_bytes())
        .update(&version.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// A store, and the blocks of its newest volume with their versions.
struct Store {
    folder: tempfile::TempDir,
    blocks: BTreeMap<u64, u64>,
    newest: Option<Packed>,
    is_near: bool,
    /// From so many blocks on, the contents come again.
    contents: u64,
}

impl Store {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            blocks: BTreeMap::new(),
            newest: None,
            is_near: false,
            contents: u64::MAX,
        }
    }

    fn objects(&self) -> Objects {
        let location = Location::folder(self.folder.path());
        location.open(&[]).expect("a store in a folder")
    }

    /// With ranges that are to be read at once.
    async fn open_with(&self, first: &[PackRange]) -> Source {
        let saved = self.newest.as_ref().expect("a save");
        let opened = Source::open_with(self.objects(), saved.map, saved.hot, first).await;
        opened.expect("a source")
    }

    async fn open(&self) -> Arc<Source> {
        let source = match &self.newest {
            Some(saved) => Source::open(self.objects(), saved.map, saved.hot).await,
            None => Source::empty(self.objects(), VOLUME_BYTES),
        };
        Arc::new(source.expect("a source"))
    }

    /// A job that writes these blocks and reads those.
    async fn job(&mut self, written: Vec<u64>, reads: Reads) {
        let source = self.open().await;
        source.read_leaves(u64::MAX, true).await.expect("the map");
        for block in &reads.blocks {
            source.fetch(*block).await.expect("it is stored");
        }
        for block in &written {
            *self.blocks.entry(*block).or_default() += 1;
        }
        let (blocks, contents) = (self.blocks.clone(), self.contents);
        let read = move |block: u64, buffer: &mut [u8]| {
            buffer.copy_from_slice(&content(block % contents, blocks[&block]));
            Ok(())
        };
        let changed = Changed {
            written,
            ..Changed::default()
        };
        let job = Job {
            changed,
            reads,
            is_near: self.is_near,
            ..Job::default()
        };
        let packed = packer::pack(&source, job, read, Arc::default()).await;
        self.newest = Some(packed.expect("packing into a folder works"));
    }

    /// A volume whose blocks many saves wrote, and a last job that read all of them, backwards.
    async fn scattered() -> Self {
        let mut store = Self::new();
        for save in 0..SAVES {
            let blocks = (0..BLOCKS).map(|block| block * SAVES + save);
            store.job(blocks.collect(), Reads::default()).await;
        }
        let reads = Reads {
            blocks: (0..BLOCKS * SAVES).rev().collect(),
            at_start: 20,
        };
        store.job(vec![3], reads).await;
        store
    }

    fn packs(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.folder.path().join("v1/packs")).expect("packs");
        let files = folders.flat_map(|folder| {
            let folder = folder.expect("a folder").path();
            std::fs::read_dir(folder).expect("a folder of packs")
        });
        files.map(|file| file.expect("a pack").path()).collect()
    }
}

/// Blocks as they arrive.
#[derive(Default)]
struct Arrived(Mutex<BTreeMap<u64, Vec<u8>>>);

impl Arrived {
    /// All that a source reads ahead of what was hot.
    async fn hot(source: &Source) -> Self {
        let arrived = Self::default();
        while source
            .hot()
            .read_next(|one| arrived.take(one))
            .await
            .is_some()
        {}
        arrived
    }

    #[allow(clippy::unnecessary_wraps)] // as whoever fetches blocks hands them on
    fn take(&self, one: &FetchedBlock) -> std::io::Result<()> {
        let before = self.0.lock().insert(one.block, one.content.to_vec());
        assert!(before.is_none(), "block {} came twice", one.block);
        Ok(())
    }

    fn assert_content_of(&self, store: &Store) {
        for (block, bytes) in self.0.lock().iter() {
            assert!(
                *bytes == content(block % store.contents, store.blocks[block]),
                "block {block}"
            );
        }
    }

    fn has(&self, block: u64) -> bool {
        self.0.lock().contains_key(&block)
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_read_comes_to_the_next_in_few_requests() {
    let store = Store::scattered().await;
    let source = store.open().await;
    let arrived = Arrived::hot(&source).await;
    assert_eq!(arrived.len() as u64, BLOCKS * SAVES);
    arrived.assert_content_of(&store);
    let traffic = source.traffic();
    let read = BLOCKS * SAVES * BLOCK_BYTES as u64;
    assert!(
        traffic.bytes < read + read / 20,
        "{traffic:?} for {read} bytes"
    );
    // The map's root, the list, and 2 MiB at a time.
    assert!(traffic.requests <= 2 + 19, "{traffic:?}");
}

/// Beside the list, without a request more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_first_is_asked_for_before_the_list_is_there() {
    let store = Store::scattered().await;
    let after_it = store.open_with(&[]).await;
    Arrived::hot(&after_it).await.assert_content_of(&store);
    let first = &store.newest.as_ref().expect("a save").first;
    assert!(!first.is_empty());
    let source = store.open_with(first).await;
    let all = 2 + first.len() as u64;
    let asked = async {
        while source.traffic().requests < all {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(60), asked).await;
    asked.expect("nobody has to ask for what is read first");
    let arrived = Arrived::hot(&source).await;
    assert_eq!(arrived.len() as u64, BLOCKS * SAVES);
    arrived.assert_content_of(&store);
    assert_eq!(source.traffic(), after_it.traffic());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_snapshot_says_of_it_may_be_wrong() {
    let store = Store::scattered().await;
    let first = &store.newest.as_ref().expect("a save").first;
    let PackRange { pack, start, end } = first[0];
    let elsewhere = PackId::of(b"nothing");
    for (pack, start, end) in [
        (elsewhere, start, end),
        (pack, start + 1, end),
        (pack, end, start),
        (pack, end, end),
        (pack, start, u64::MAX),
        (pack, start, end + (1 << 20)),
        (pack, 1 << 40, 1 << 40 | 4096),
    ] {
        let wrong = PackRange { pack, start, end };
        let many = [vec![wrong], first.clone(), first.clone(), first.clone()].concat();
        let source = store.open_with(&many).await;
        let arrived = Arrived::hot(&source).await;
        assert_eq!(arrived.len() as u64, BLOCKS * SAVES, "{start} to {end}");
        arrived.assert_content_of(&store);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_needed_comes_at_once_and_once() {
    let store = Store::scattered().await;
    let source = store.open().await;
    let arrived = Arrived::default();
    // It was read last, so it is in the last range.
    let bring = || source.bring(0, |one| arrived.take(one));
    tokio::join!(bring(), bring(), bring());
    assert!(arrived.has(0));
    assert!(arrived.len() <= 32, "{} blocks came with it", arrived.len());
    assert_eq!(source.traffic().requests, 3);
    // What the list holds itself costs no request.
    source
        .bring(BLOCKS * SAVES - 1, |one| arrived.take(one))
        .await;
    assert!(arrived.has(BLOCKS * SAVES - 1));
    assert_eq!(source.traffic().requests, 3);
}

/// The packs that only the hot list names are damaged or gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_ahead_is_read_as_ever() {
    let store = Store::scattered().await;
    let of_saves = (SAVES * BLOCKS) as usize * BLOCK_BYTES / SAVES as usize;
    let together = store.packs().into_iter().filter(|pack| {
        let bytes = std::fs::metadata(pack).expect("a pack").len() as usize;
        bytes > 2 * of_saves
    });
    let together: Vec<PathBuf> = together.collect();
    assert_eq!(together.len(), 2, "32 MiB in packs of 16");
    std::fs::remove_file(&together[0]).expect("removed");
    let mut bytes = std::fs::read(&together[1]).expect("a pack");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&together[1], bytes).expect("damaged");
    let source = store.open().await;
    let arrived = Arrived::hot(&source).await;
    for block in (0..BLOCKS * SAVES).step_by(7) {
        source.bring(block, |one| arrived.take(one)).await;
        if !arrived.has(block) {
            let fetched = source.fetch(block).await.expect("its own pack is whole");
            let one = fetched
                .iter()
                .find(|one| one.block == block)
                .expect("the block");
            arrived.take(one).expect("taken");
        }
        let bytes = arrived.0.lock()[&block].clone();
        assert!(
            bytes == content(block, store.blocks[&block]),
            "block {block}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_else_comes_in_the_order_of_the_volume() {
    let mut store = Store::scattered().await;
    let saved = store.newest.as_mut().expect("a save");
    saved.hot = None;
    let source = store.open().await;
    source.read_leaves(u64::MAX, true).await.expect("the map");
    let leaves = source.traffic().requests;
    assert!(leaves <= 3, "one leaf, read alone: {leaves} requests");
    source.plan_rest(16 * BLOCK_BYTES as u64 * 8);
    let rest = source.rest().expect("just planned");
    let arrived = Arrived::default();
    assert!(rest.read_next(|one| arrived.take(one)).await.is_some());
    assert!(arrived.has(0), "the first block comes first");
    while rest.read_next(|one| arrived.take(one)).await.is_some() {}
    assert!((112..=128).contains(&arrived.len()), "{}", arrived.len());
}

/// The first block is needed while the map is read ahead: whatever comes first, all leaves are known after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_somebody_reads_is_among_those_read_ahead() {
    let store = Store::scattered().await;
    for _ in 0..20 {
        let source = store.open().await;
        let ahead = async {
            source.read_leaves(u64::MAX, true).await.expect("the map");
            source.leaf_if_read(0).is_some()
        };
        let (fetched, is_known) = tokio::join!(source.fetch(0), ahead);
        fetched.expect("it is stored");
        assert!(is_known);
    }
}

/// The next job reads it, and it lies together already.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_wrote_comes_to_the_next_from_where_it_was_stored() {
    let mut store = Store::scattered().await;
    let packs = store.packs().len();
    let new = BLOCKS * SAVES..BLOCKS * SAVES + 24;
    let again = Reads {
        blocks: (0..BLOCKS * SAVES).collect(),
        at_start: 20,
    };
    store.job(new.clone().collect(), again).await;
    assert_eq!(store.packs().len(), packs + 1, "it is stored once");
    let source = store.open().await;
    let arrived = Arrived::default();
    source.hot().read_next(|one| arrived.take(one)).await;
    source.hot().read_next(|one| arrived.take(one)).await;
    assert!(
        new.clone().all(|block| arrived.has(block)),
        "right after what the list holds"
    );
    arrived.assert_content_of(&store);
}

/// What is scattered over a near store is read from where it rests, and not stored again.
#[tokio::test(flavor = "multi_thread")]
async fn a_near_store_keeps_no_copies() {
    let mut store = Store::scattered().await;
    let packs = store.packs().len();
    store.newest.as_mut().expect("a save").hot = None;
    store.is_near = true;
    let all = Reads {
        blocks: (0..BLOCKS * SAVES).collect(),
        at_start: 20,
    };
    for _ in 0..2 {
        store.job(vec![], all.clone()).await;
        assert_eq!(store.packs().len(), packs, "nothing is stored again");
        let source = store.open().await;
        let arrived = Arrived::hot(&source).await;
        assert_eq!(arrived.len() as u64, BLOCKS * SAVES);
        arrived.assert_content_of(&store);
    }
}

/// Two unpacked copies of a layer are read, say. Far away a copy is kept for both, next door they are named where they
/// rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_many_blocks_hold_is_stored_and_fetched_once() {
    for is_near in [false, true] {
        let mut store = Store::new();
        (store.is_near, store.contents) = (is_near, 256);
        let all: Vec<u64> = (0..1024).collect();
        let mut written = all.clone();
        let bytes = 256 * BLOCK_BYTES as u64;
        for (read, at_start) in [(&all[..512], 20), (&all, 0), (&all, 0)] {
            let reads = Reads {
                blocks: read.to_vec(),
                at_start,
            };
            store.job(std::mem::take(&mut written), reads).await;
            let source = store.open().await;
            let arrived = Arrived::hot(&source).await;
            assert_eq!(arrived.len(), read.len(), "near: {is_near}");
            arrived.assert_content_of(&store);
            let fetched = source.traffic().bytes;
            assert!(fetched < bytes + bytes / 10, "{fetched} for {bytes} bytes");
        }
        let packs = store.packs().into_iter();
        let stored: u64 = packs
            .map(|pack| pack.metadata().expect("a pack").len())
            .sum();
        let copies = if is_near { 1 } else { 2 };
        assert!(
            stored < copies * (bytes + bytes / 20),
            "{stored} for {bytes} bytes"
        );
    }
}

/// Each job writes into some regions, and so some leaves; the map of a long line is read as quickly as that of a short.
#[tokio::test(flavor = "multi_thread")]
async fn after_many_jobs_the_map_comes_in_few_requests() {
    let mut store = Store::scattered().await;
    let regions = VOLUME_BYTES / (LEAF_BLOCKS as u64 * BLOCK_BYTES as u64);
    for job in 0..40 {
        let written = (0..4).map(|at| (job * 3 + at * 5) % regions * LEAF_BLOCKS as u64 + job);
        let written: BTreeSet<u64> = written.collect();
        let written = written.into_iter().collect();
        store.job(written, Reads::default()).await;
        let source = store.open().await;
        let before = source.traffic().requests;
        source.read_leaves(u64::MAX, true).await.expect("the map");
        let requests = source.traffic().requests - before;
        assert!(requests <= 6, "{requests} requests after job {job}");
    }
}

/// What no job reads costs a large volume's jobs nothing: its leaves rest in objects of other saves.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_large_map_only_what_lies_with_what_was_read_comes_ahead() {
    let mut store = Store::new();
    let first_of = |region: u64| region * LEAF_BLOCKS as u64;
    for saved in [4..9, 0..2, 2..4] {
        let written = saved.map(first_of).collect();
        store.job(written, Reads::default()).await;
    }
    let reads = Reads {
        blocks: vec![first_of(2), first_of(4)],
        at_start: 2,
    };
    store.job(Vec::new(), reads).await;
    let source = store.open().await;
    let leaves = source.root().leaves();
    let bytes: u64 = leaves.map(|(_, place)| u64::from(place.bytes)).sum();
    for (max_bytes, all, expected) in [
        (bytes, false, vec![0, 1, 2, 3, 4, 5, 6, 7, 8]),
        // Of the last five it is one that was read.
        (bytes - 1, false, vec![2, 3, 4]),
        (bytes - 1, true, vec![0, 1, 2, 3, 4, 5, 6, 7]),
    ] {
        let source = store.open().await;
        source.read_leaves(max_bytes, all).await.expect("the map");
        let read: Vec<u32> = (0..9)
            .filter(|index| source.leaf_if_read(*index).is_some())
            .collect();
        assert_eq!(read, expected, "{max_bytes} of {bytes}, all: {all}");
    }
}
