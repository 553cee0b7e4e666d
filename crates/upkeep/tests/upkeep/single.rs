//! A store that a CI system saves and restores as a whole.

use std::path::Path;

use larder_local::people::{Progress, Voice};
use larder_store::{Access, Keys, Location, Objects};
use larder_upkeep::gc;
use parking_lot::Mutex;

use crate::kit::Random;
use crate::volumes::{self, Volume, first, head, size, step};

const JOBS: u64 = 10;

/// What was warned of.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Voice for Heard {
    fn note(&self, _: &str) {}
    fn warning(&self, text: &str) {
        self.0.lock().push(text.to_owned());
    }
    fn progress(&self, _: Progress) {}
}

fn open(folder: &Path) -> Objects {
    let access = Access::new(Location::folder(folder), Vec::new(), Keys::default());
    access.single().open().expect("a store")
}

/// A job that starts from the head of a scope, and saves in another or the same one.
async fn job(folder: &Path, from: &str, to: &str, volume: &Volume, written: &[u64]) -> Heard {
    let (heard, objects) = (Heard::default(), open(folder));
    volumes::job(&objects, (from, to), volume, written, true).await;
    gc::leave_newest(&objects, &heard).await;
    heard
}

async fn check(folder: &Path, scope: &str, volume: &Volume) {
    let objects = open(folder);
    let snapshot = head(&objects, scope).await.expect("a snapshot");
    volumes::check(&objects, &snapshot, volume).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_what_the_newest_snapshots_need_and_little_else() {
    let [folder, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let mut random = Random::new(7);
    let (mut volume, all) = first(512);
    job(folder.path(), "main", "main", &volume, &all).await;
    for _ in 1..JOBS {
        let written = step(&mut volume, &mut random);
        let heard = job(folder.path(), "main", "main", &volume, &written).await;
        assert_eq!(*heard.0.lock(), Vec::<String>::new());
    }
    check(folder.path(), "main", &volume).await;
    job(fresh.path(), "main", "main", &volume, &all).await;
    let ((bytes, files), (full, _)) = (size(folder.path()), size(fresh.path()));
    assert!(
        bytes * 10 <= full * 13,
        "{bytes} bytes, and {full} are needed"
    );
    assert!(files < 24, "{files} files");

    // Another lineage stays beside it, and both read back.
    let before = volume.clone();
    let written = step(&mut volume, &mut random);
    job(folder.path(), "main", "pull/7", &volume, &written).await;
    check(folder.path(), "main", &before).await;
    check(folder.path(), "pull/7", &volume).await;

    // Beside somebody who uses it nothing goes.
    let user = open(folder.path());
    let written = step(&mut volume, &mut random);
    let heard = job(folder.path(), "pull/7", "pull/7", &volume, &written).await;
    let heard = heard.0.into_inner();
    assert!(heard[0].contains("another job uses it"), "{heard:?}");
    drop(user);
    check(folder.path(), "main", &before).await;
}
