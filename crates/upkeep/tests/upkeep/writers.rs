//! Writers and collections side by side, each ended at any moment: a short form of `cargo xtask campaign writers`.

use std::time::Duration;

use larder_local::people::Nobody;
use larder_upkeep::gc;
use larder_upkeep::verify::verify;

use crate::garbage::{collect, files};
use crate::kit::{Machine, Random, keeping, open};

/// A job lasts less than half of it.
const GRACE: Duration = Duration::from_millis(1_500);
const HOUR_MS: u64 = 3_600_000;

fn compacting() -> gc::Plan {
    gc::Plan {
        compact_bytes: u64::MAX,
        ..keeping(3, GRACE)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_document_verifies_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random::new(11);
    for round in 0..6 {
        let writers = (0..8).map(|at| {
            let mut machine = Machine::new(folder.path(), "main");
            machine.clock_ms = random.below(2 * HOUR_MS).cast_signed() - HOUR_MS.cast_signed();
            let (seed, works) = (round * 100 + at, Duration::from_millis(random.below(250)));
            let job =
                tokio::spawn(
                    async move { machine.job(&mut Random::new(seed), works).await.map(drop) },
                );
            (job, Duration::from_millis(random.below(500)))
        });
        let writers: Vec<_> = writers.collect();
        let collections = (0..2).map(|_| {
            let objects = open(folder.path());
            let plan = compacting();
            tokio::spawn(async move {
                loop {
                    gc::collect(&objects, &plan, &Nobody)
                        .await
                        .expect("collected");
                }
            })
        });
        let collections: Vec<_> = collections.collect();
        for (job, lives) in writers {
            match tokio::time::timeout(lives, job).await {
                Ok(ended) => ended.expect("no panic").expect("saved"),
                Err(_ended) => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(random.below(200))).await;
        collections.iter().for_each(tokio::task::JoinHandle::abort);
        let checked = verify(&open(folder.path()), true, &Nobody)
            .await
            .expect("verified");
        assert!(checked.is_sound(), "{checked:?}");
    }
    let objects = open(folder.path());
    for _ in 0..4 {
        collect(&objects, &compacting()).await;
        tokio::time::sleep(GRACE).await;
    }
    let last = collect(&objects, &keeping(3, GRACE)).await;
    let left = files(folder.path());
    let sweeps = left
        .iter()
        .filter(|path| path.to_string_lossy().contains("/sweeps/"))
        .count();
    assert_eq!(
        left.len() - sweeps,
        last.kept.objects as usize + last.documents,
        "{last:?}"
    );
    assert!(sweeps <= 4, "{sweeps}");
}
