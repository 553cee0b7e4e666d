//! Small volumes in a store, and machines that save them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larder_local::clock::now_ms;
use larder_model::clock;
use larder_model::ladder::Rung;
use larder_model::limits::BLOCK_BYTES;
use larder_model::lineage::Lineage;
use larder_model::retention::Rules;
use larder_model::snapshot::{EngineRecord, Snapshot};
use larder_store::catalog::Found;
use larder_store::packer::{self, Changed, Job};
use larder_store::{Location, Objects, Source, StoreError, catalog};
use larder_upkeep::gc::Plan;

pub(crate) const VOLUME_BYTES: u64 = 256 << 20;
const BLOCKS: u64 = VOLUME_BYTES / BLOCK_BYTES as u64;
/// Blocks of them that jobs write.
const PLACES: u64 = 64;

/// Random numbers that a seed gives again: xorshift64* (Vigna, 2016).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

pub(crate) fn open(folder: &Path) -> Objects {
    Location::folder(folder).open(&[]).expect("a store")
}

pub(crate) fn lineage(scope: &str, job: &str) -> Lineage {
    Lineage {
        project: "shop/web".into(),
        compatibility: "linux-x86_64-overlay2-docker26".into(),
        scope: scope.into(),
        job: job.into(),
    }
}

/// A machine that saves volumes.
pub(crate) struct Machine {
    pub(crate) objects: Objects,
    pub(crate) lineage: Lineage,
    /// By how much its clock is wrong.
    pub(crate) clock_ms: i64,
}

impl Machine {
    pub(crate) fn new(folder: &Path, scope: &str) -> Self {
        Self {
            objects: open(folder),
            lineage: lineage(scope, "build"),
            clock_ms: 0,
        }
    }

    fn now_ms(&self) -> u64 {
        now_ms().saturating_add_signed(self.clock_ms)
    }

    /// The head, opened. Another machine's collection may remove it just then.
    async fn head(&self) -> Result<Option<(Found, Arc<Source>)>, StoreError> {
        let rung = Rung::Lineage(self.lineage.clone());
        for candidate in catalog::candidates(&self.objects, &rung, self.now_ms()).await? {
            let found = match catalog::read::<Snapshot>(&self.objects, &candidate).await {
                Err(StoreError::Missing { .. }) => continue,
                found => found?,
            };
            let (map, hot) = (found.document.map, found.document.hot);
            let source = Source::open(self.objects.clone(), map, hot).await?;
            return Ok(Some((found, Arc::new(source))));
        }
        Ok(None)
    }

    /// A job: starts from the head, works for some time, writes some blocks of which many are like others',
    /// and saves.
    pub(crate) async fn job(
        &self,
        random: &mut Random,
        works: Duration,
    ) -> Result<Found, StoreError> {
        let (parent, source) = match self.head().await? {
            Some((found, source)) => (Some(found), source),
            None => (
                None,
                Arc::new(Source::empty(self.objects.clone(), VOLUME_BYTES)?),
            ),
        };
        tokio::time::sleep(works).await;
        let mut changed = Changed::default();
        let mut seeds = std::collections::BTreeMap::new();
        for _ in 0..random.below(12) {
            // Half are what other machines write too; all are written over before long, so that packs die.
            let block = random.below(PLACES) * (BLOCKS / PLACES);
            let contents = [6, 1 << 20][random.below(2) as usize];
            seeds.insert(block, random.below(contents));
        }
        for (block, seed) in &seeds {
            match seed {
                0 => changed.zeroed.push(*block),
                _ => changed.written.push(*block),
            }
        }
        let mut job = Job {
            changed,
            ..Job::default()
        };
        job.reads.blocks = seeds.keys().copied().collect();
        let read = move |block: u64, buffer: &mut [u8]| {
            fill(buffer, seeds.get(&block).copied().unwrap_or_default());
            Ok(())
        };
        let packed = packer::pack(&source, job, read, Arc::default()).await?;
        tokio::time::sleep(works / 4).await;
        let parent_ms = parent.as_ref().map(|parent| parent.document.created_ms);
        let document = Snapshot {
            parent: parent.map(|parent| parent.id),
            hot: packed.hot,
            larder: random.below(1 << 31).to_string(),
            ..Snapshot::first(
                self.lineage.clone(),
                clock::successor(self.now_ms(), parent_ms, None),
                packed.map,
                VOLUME_BYTES,
                EngineRecord::docker("26.1.5", "overlay2"),
            )
        };
        let id = catalog::publish(&self.objects, &document).await?;
        Ok(Found { id, document })
    }
}

/// The content that a seed stands for: zeros, or something else.
fn fill(buffer: &mut [u8], seed: u64) {
    if seed == 0 {
        return buffer.fill(0);
    }
    for (at, byte) in buffer.iter_mut().enumerate() {
        *byte = (at / 7) as u8 ^ seed as u8;
    }
    buffer[..8].copy_from_slice(&seed.to_le_bytes());
}

/// Keeps so many of each lineage.
pub(crate) fn keeping(last: usize, grace: Duration) -> Plan {
    Plan {
        rules: Rules {
            keep_last: Some(last),
            ..Rules::default()
        },
        max_bytes: None,
        project: None,
        alive: None,
        grace,
        dry_run: false,
        documents_max: None,
        compact_bytes: 0,
        compact_within: Duration::MAX,
    }
}
