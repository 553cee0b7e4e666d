//! A near tier: what it has is not asked of the store, and nothing depends on it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use larder_local::own::OwnFolder;
use larder_model::habit::Reads;
use larder_model::limits::BLOCK_BYTES;
use larder_store::packer::{self, Changed, Job, Packed};
use larder_store::{
    Access, Keys, Location, NearPlace, NearTier, Objects, Settings, Source, Traffic,
};

const VOLUME_BYTES: u64 = 1 << 30;
const BLOCKS: u64 = 96;

/// A store and what is in front of it.
struct Places {
    far: tempfile::TempDir,
    near: tempfile::TempDir,
}

impl Places {
    fn new() -> Self {
        let [far, near] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        Self { far, near }
    }

    fn near(&self) -> PathBuf {
        self.near.path().join("near")
    }

    fn open(&self, place: Option<NearPlace>) -> Objects {
        let near = place.map(|place| NearTier {
            place,
            max_bytes: 64 << 20,
        });
        let store = Location::folder(self.far.path());
        let access = Access::new(store, Vec::new(), Keys::default()).behind(near);
        access.open().expect("a store")
    }

    fn beside(&self) -> Objects {
        let own = OwnFolder::new(self.near(), None);
        self.open(Some(NearPlace::Folder(own)))
    }

    /// Nothing that documents name is in the store any more.
    fn empty_the_store(&self) {
        for folder in ["packs", "leaves", "maps", "hot"] {
            let folder = self.far.path().join("v1").join(folder);
            fs::remove_dir_all(folder).expect("it was there");
        }
    }

    fn kept(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.near()).expect("a folder");
        let files = entries.map(|entry| entry.expect("an entry").path());
        files.filter(|path| !path.ends_with("size")).collect()
    }
}

fn content(block: u64) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_BYTES];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&block.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// A save of a volume of which the job has read every third block.
async fn saved(objects: &Objects) -> Packed {
    let source = Source::empty(objects.clone(), VOLUME_BYTES).expect("a volume");
    let job = Job {
        changed: Changed {
            written: (0..BLOCKS).map(|block| block * 40).collect(),
            ..Changed::default()
        },
        reads: Reads {
            blocks: (0..BLOCKS).step_by(3).map(|block| block * 40).collect(),
            at_start: 4,
        },
        ..Job::default()
    };
    let read = |block: u64, buffer: &mut [u8]| {
        buffer.copy_from_slice(&content(block));
        Ok(())
    };
    let packed = packer::pack(&Arc::new(source), job, read, Arc::default()).await;
    packed.expect("packed")
}

/// A job that reads everything, some of it ahead; what the store was asked for.
async fn read_all(objects: &Objects, saved: &Packed) -> Traffic {
    let source = Source::open(objects.clone(), saved.map, saved.hot).await;
    let source = source.expect("it opens");
    while source.hot().read_next(|_| Ok(())).await.is_some() {}
    for block in (0..BLOCKS).map(|block| block * 40) {
        let fetched = source.fetch(block).await.expect("it is there");
        let found = fetched.iter().find(|one| one.block == block);
        assert!(
            found.is_some_and(|one| one.content == content(block)),
            "{block}"
        );
    }
    source.traffic()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_job_read_the_next_one_does_not_ask_for() {
    let places = Places::new();
    let saved = saved(&places.open(None)).await;
    let first = read_all(&places.beside(), &saved).await;
    assert!(first.requests > 0, "{first:?}");
    places.empty_the_store();
    let second = read_all(&places.beside(), &saved).await;
    assert_eq!((second.requests, second.bytes), (0, 0));
    let kept = places.kept();
    assert!(!kept.is_empty());
    for file in kept {
        let mode = fs::metadata(file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let folder = fs::metadata(places.near()).expect("there").permissions();
    assert_eq!(folder.mode() & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_saved_is_near_at_once() {
    let places = Places::new();
    let saved = saved(&places.beside()).await;
    let traffic = read_all(&places.beside(), &saved).await;
    assert_eq!(traffic.requests, 0, "{traffic:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_it_is_a_miss_and_mended() {
    let places = Places::new();
    let saved = saved(&places.open(None)).await;
    read_all(&places.beside(), &saved).await;
    let outside = places.near.path().join("outside");
    fs::write(&outside, "nobody's").expect("written");
    for (number, file) in places.kept().iter().enumerate() {
        spoil(number, file, &outside);
    }
    let objects = places.beside();
    read_all(&objects, &saved).await;
    assert_eq!(objects.near_trouble(), None);
    assert_eq!(fs::read(&outside).expect("there"), b"nobody's");
    places.empty_the_store();
    let traffic = read_all(&places.beside(), &saved).await;
    assert_eq!(traffic.requests, 0, "{traffic:?}");
}

/// Every kind of damage in turn.
fn spoil(number: usize, file: &Path, outside: &Path) {
    let mut bytes = fs::read(file).expect("it is there");
    let at = bytes.len() / 2;
    match number % 4 {
        0 => bytes[at] ^= 1,
        1 => bytes.truncate(at),
        2 => bytes.clear(),
        _ => {
            fs::remove_file(file).expect("removed");
            symlink(outside, file).expect("linked");
            return;
        }
    }
    fs::write(file, bytes).expect("written");
}

/// A file system of its own, for as long as the test runs.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: PathBuf, options: &str) -> Self {
        fs::create_dir_all(&at).expect("made");
        let is_mounted = mounted(&["-t", "tmpfs", "-o", options, "tmpfs"], &at);
        assert!(is_mounted, "tests run as root");
        Self(at)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

fn mounted(words: &[&str], at: &Path) -> bool {
    let status = Command::new("mount").args(words).arg(at).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_written_is_told_once_and_fails_nothing() {
    let places = Places::new();
    let tmpfs = Tmpfs::mount(places.near(), "size=1m,mode=700");
    let saved = saved(&places.open(None)).await;
    let full = places.beside();
    read_all(&full, &saved).await;
    let told = full.near_trouble().expect("it is full");
    assert!(told.contains("No space left"), "{told}");
    assert_eq!(full.near_trouble(), None);
    drop(full);
    // What was written before is of use.
    assert!(mounted(&["-o", "remount,ro"], &tmpfs.0));
    let read_only = places.beside();
    let told = read_only.near_trouble().expect("it cannot be written");
    assert!(told.contains("Read-only"), "{told}");
    let traffic = read_all(&read_only, &saved).await;
    assert!(traffic.near_bytes > 0, "{traffic:?}");
    drop(tmpfs);
    fs::remove_dir(places.near()).expect("empty");
    fs::write(places.near(), "no folder").expect("written");
    let none = places.beside();
    assert!(
        none.near_trouble()
            .is_some_and(|told| told.contains("near"))
    );
    read_all(&none, &saved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_can_be_it() {
    let places = Places::new();
    let rack = Location::folder(&places.near());
    let remote = || places.open(Some(NearPlace::Store(rack.clone(), Settings(Vec::new()))));
    let saved = saved(&remote()).await;
    // It is not waited for. What is being written has another name (`object_store`, `local.rs`, `staged_upload_path`).
    let whole = || {
        let entries = fs::read_dir(places.near().join("near-v1")).into_iter();
        let names = entries
            .flatten()
            .map(|entry| entry.expect("an entry").file_name());
        names
            .filter(|name| !name.to_string_lossy().contains('#'))
            .count()
    };
    while whole() < 4 {
        tokio::task::yield_now().await;
    }
    places.empty_the_store();
    let traffic = read_all(&remote(), &saved).await;
    assert_eq!(traffic.requests, 0, "{traffic:?}");
}
