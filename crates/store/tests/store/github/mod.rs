//! A store in GitHub's cache, against a stand-in that GitHub's own client takes for it.

mod stand_in;

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_model::habit::Reads;
use larder_model::ladder::Rung;
use larder_model::lineage::Lineage;
use larder_model::mark::Fault;
use larder_model::snapshot::{EngineRecord, Snapshot};
use larder_store::catalog::{self, Found, Reader, Walk};
use larder_store::packer::{self, Changed, Job};
use larder_store::{Access, Keys, Location, Objects, Source, StoreError, closure};

use self::stand_in::StandIn;
use crate::ahead::content;

const VOLUME_BYTES: u64 = 1 << 30;
const NOW_MS: u64 = 1_767_225_600_000;
const MAIN: &str = "refs/heads/main";
const PULL: &str = "refs/pull/7/merge";

fn lineage(scope: &str) -> Lineage {
    Lineage {
        project: "github.com/shop/web".into(),
        compatibility: "linux-x86_64-overlay2-docker26".into(),
        scope: scope.into(),
        job: "build".into(),
    }
}

/// A job on a machine of its own.
struct Machine {
    objects: Objects,
    scope: &'static str,
}

impl Machine {
    fn new(service: &StandIn, scope: &'static str, writes: &str, reads: &[&str]) -> Self {
        let settings = [
            ("ACTIONS_RESULTS_URL".to_owned(), service.url()),
            (
                "ACTIONS_RUNTIME_TOKEN".to_owned(),
                StandIn::token(writes, reads),
            ),
        ];
        let location = Location::parse("gha://").expect("a store");
        let access = Access::new(location, settings.into(), Keys::default());
        let objects = access.open().expect("it opens");
        Self { objects, scope }
    }

    fn main(service: &StandIn) -> Self {
        Self::new(service, "branch/main", MAIN, &[])
    }

    fn reader(&self) -> Reader {
        Reader {
            machine: larder_model::mark::MachineId::of(b"machine"),
            scope: self.scope.into(),
            job: "build".into(),
            now_ms: NOW_MS + 1_000_000,
        }
    }

    /// What the job would start from, opened: the ladder has its own scope, main's, and any job's.
    async fn start(&self) -> Option<(Found, Arc<Source>)> {
        let rungs = vec![
            Rung::Lineage(lineage(self.scope)),
            Rung::Lineage(lineage("branch/main")),
            Rung::AnyJob(lineage("branch/main")),
        ];
        let reader = self.reader();
        let walked = Walk::<Snapshot>::new(&self.objects, rungs, &reader)
            .first(async |found| {
                let (map, hot) = (found.document.map, found.document.hot);
                let source = Source::open(self.objects.clone(), map, hot).await?;
                Ok((found, Arc::new(source)))
            })
            .await;
        walked.outcome.expect("the cache answers")
    }

    /// Writes a version of these blocks, and saves.
    async fn job(&self, blocks: std::ops::Range<u64>, version: u64) -> Result<Found, StoreError> {
        let (parent, source) = self.start().await.unzip();
        let empty = Source::empty(self.objects.clone(), VOLUME_BYTES);
        let source = source.unwrap_or_else(|| Arc::new(empty.expect("a size")));
        let job = Job {
            changed: Changed {
                written: blocks.clone().collect(),
                ..Changed::default()
            },
            reads: Reads {
                blocks: blocks.collect(),
                at_start: 2,
            },
            ..Job::default()
        };
        let read = move |block: u64, buffer: &mut [u8]| {
            buffer.copy_from_slice(&content(block, version));
            Ok(())
        };
        let packed = packer::pack(&source, job, read, Arc::default()).await?;
        let parent_ms = parent.as_ref().map(|one| one.document.created_ms);
        let document = Snapshot {
            parent: parent.map(|parent| parent.id),
            hot: packed.hot,
            ..Snapshot::first(
                lineage(self.scope),
                parent_ms.map_or(NOW_MS, |parent_ms| parent_ms + 1),
                packed.map,
                VOLUME_BYTES,
                EngineRecord::docker("26.1.5", "overlay2"),
            )
        };
        closure::settle(&self.objects, &document).await?;
        let id = catalog::publish(&self.objects, &document).await?;
        Ok(Found { id, document })
    }
}

async fn assert_holds(source: &Source, blocks: std::ops::Range<u64>, version: u64) {
    for block in blocks {
        let fetched = source.fetch(block).await.expect("it is there");
        let found = fetched
            .iter()
            .find(|one| one.block == block)
            .expect("it is the block");
        assert!(found.content == content(block, version), "{block}");
    }
}

fn count(requests: &[String], part: &str) -> usize {
    requests
        .iter()
        .filter(|request| request.contains(part))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_go_on_where_the_last_one_ended_with_few_entries() {
    let service = StandIn::start();
    assert!(Machine::main(&service).start().await.is_none());
    service.take_requests();
    Machine::main(&service).job(0..64, 1).await.expect("saved");
    let first = service.take_requests();
    assert_eq!(count(&first, "CreateCacheEntry"), 2, "{first:?}");
    for version in 2..20 {
        let saved = Machine::main(&service)
            .job(version..version + 4, version)
            .await;
        saved.expect("saved");
    }
    let requests = service.take_requests();
    let created = count(&requests, "CreateCacheEntry");
    assert_eq!(created, 2 * 18, "a bundle and a document each");
    // A new machine learns in one look whether all is there.
    let (found, source) = Machine::main(&service).start().await.expect("a snapshot");
    assert_eq!(found.document.created_ms, NOW_MS + 18);
    let looks = count(&service.take_requests(), "GetCacheEntryDownloadURL");
    assert!(looks <= 24, "{looks} look-ups");
    service.expire_urls();
    assert_holds(&source, 0..2, 1).await;
    assert_holds(&source, 19..23, 19).await;
    assert_holds(&source, 30..64, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_means_an_older_snapshot_or_an_empty_start() {
    let service = StandIn::start();
    for version in 1..4 {
        let saved = Machine::main(&service).job(0..40, version).await;
        saved.expect("saved");
    }
    // The newest bundle is the newest snapshot's alone.
    service.evict("/bundles/");
    let (found, source) = Machine::main(&service).start().await.expect("an older one");
    assert_eq!(found.document.created_ms, NOW_MS + 1);
    assert_holds(&source, 0..40, 2).await;
    // Its document may go too.
    service.evict("/snapshots/");
    service.evict("/snapshots/");
    let (found, _) = Machine::main(&service).start().await.expect("the oldest");
    assert_eq!(found.document.created_ms, NOW_MS);
    service.evict("/bundles/");
    service.evict("/bundles/");
    assert!(Machine::main(&service).start().await.is_none());
    Machine::main(&service)
        .job(0..40, 9)
        .await
        .expect("it saves again");
    let (_, source) = Machine::main(&service).start().await.expect("the new one");
    assert_holds(&source, 0..40, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_more_than_a_bundle_lies_in_several() {
    let service = StandIn::start();
    Machine::main(&service).job(0..8, 1).await.expect("saved");
    service.take_requests();
    Machine::main(&service)
        .job(8..1200, 2)
        .await
        .expect("saved");
    let created = count(&service.take_requests(), "CreateCacheEntry");
    assert!(created >= 3, "148 MiB, with what it read, and a document");
    let (found, source) = Machine::main(&service).start().await.expect("a snapshot");
    assert_eq!(found.document.created_ms, NOW_MS + 1);
    for (block, version) in [(0, 1), (8, 2), (600, 2), (1199, 2)] {
        assert_holds(&source, block..block + 1, version).await;
    }
    // Each of them is needed.
    service.evict("/bundles/");
    let (found, _) = Machine::main(&service).start().await.expect("the first");
    assert_eq!(found.document.created_ms, NOW_MS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_has_had_too_many_entries_is_waited_for() {
    let service = StandIn::start();
    service.refuse(2);
    let begun = Instant::now();
    Machine::main(&service).job(0..16, 1).await.expect("saved");
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "two refusals of a second each"
    );
    let requests = service.take_requests();
    assert_eq!(count(&requests, "CreateCacheEntry"), 4, "{requests:?}");
    let (_, source) = Machine::main(&service).start().await.expect("it is there");
    assert_holds(&source, 0..16, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_reads_main_and_writes_its_own() {
    let service = StandIn::start();
    Machine::main(&service).job(0..16, 1).await.expect("saved");
    let pull = || Machine::new(&service, "pull/7", PULL, &[MAIN]);
    let (found, _) = pull().start().await.expect("main's");
    assert_eq!(found.document.lineage.scope, "branch/main");
    pull().job(4..8, 2).await.expect("saved");
    let (found, source) = pull().start().await.expect("its own");
    assert_eq!(found.document.lineage.scope, "pull/7");
    assert_holds(&source, 4..8, 2).await;
    assert_holds(&source, 8..16, 1).await;
    let (found, source) = Machine::main(&service).start().await.expect("main's");
    assert_eq!(found.document.lineage.scope, "branch/main");
    assert_holds(&source, 0..16, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_count_and_a_denied_write_says_so() {
    let service = StandIn::start();
    for version in 1..3 {
        let saved = Machine::main(&service).job(0..8, version).await;
        saved.expect("saved");
    }
    let machine = Machine::main(&service);
    let (found, _) = machine.start().await.expect("the newest");
    let reader = machine.reader();
    reader
        .mark(&machine.objects, found.id, Fault::Damage, "it is broken")
        .await;
    let (older, _) = Machine::main(&service)
        .start()
        .await
        .expect("the one before");
    assert_ne!(older.id, found.id);
    service.deny_writes();
    let denied = Machine::main(&service).job(0..8, 7).await;
    let denied = denied.expect_err("it may not write").to_string();
    assert!(
        denied.contains("cache write denied") && denied.contains("only read"),
        "{denied}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listed_is_not_looked_after() {
    let location = Location::parse("gha://").expect("a store");
    let access = Access::new(location, Vec::new(), Keys::default());
    let refused = access.open_listed().expect_err("no list").to_string();
    assert!(refused.starts_with("gha:// cannot be listed"), "{refused}");
    let lacking = access.open().expect_err("no token").to_string();
    assert!(lacking.contains("ACTIONS_RUNTIME_TOKEN"), "{lacking}");
}
