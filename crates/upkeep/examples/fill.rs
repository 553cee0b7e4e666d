//! Fills a store for `cargo xtask bench gc`: `fill STORE DOCUMENTS PACKS`. Documents are snapshots of 50 lineages;
//! each names what its parent did, and some small packs of its own. The variables of the store's cloud are taken
//! from the environment.

use std::collections::BTreeMap;
use std::error::Error;

use larder_local::clock::now_ms;
use larder_model::address;
use larder_model::digest::{BlockId, LeavesId};
use larder_model::document::Document as _;
use larder_model::frame::{BlockRef, FrameRef};
use larder_model::hot::{HotBlock, HotFrame, HotList};
use larder_model::limits::BLOCK_BYTES;
use larder_model::lineage::Lineage;
use larder_model::map::{Leaf, LeafRef, MapRoot};
use larder_model::pack::PackBuilder;
use larder_model::snapshot::{EngineRecord, Snapshot};
use larder_store::{Location, Objects, StoreError};

const LINEAGES: u64 = 50;
/// Regions of a volume that saves write to in turn.
const LEAVES: u64 = 20;
const VOLUME_BYTES: u64 = 8 << 30;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [store, documents, packs] = &words[..] else {
        return Err("usage: fill STORE DOCUMENTS PACKS".into());
    };
    let settings: Vec<(String, String)> = std::env::vars().collect();
    let objects = Location::parse(store)?.open(&settings)?;
    let documents: u64 = documents.parse()?;
    let packs_each = packs.parse::<u64>()? / documents;
    let lineages = (0..LINEAGES).map(|number| {
        let line = Line {
            objects: objects.clone(),
            number,
            root: MapRoot::empty(VOLUME_BYTES).expect("a size"),
            leaves: BTreeMap::new(),
        };
        tokio::spawn(line.fill(documents / LINEAGES, packs_each))
    });
    for line in lineages.collect::<Vec<_>>() {
        line.await??;
    }
    Ok(())
}

/// One lineage as it grows.
struct Line {
    objects: Objects,
    number: u64,
    root: MapRoot,
    leaves: BTreeMap<u32, Leaf>,
}

impl Line {
    async fn fill(mut self, saves: u64, packs: u64) -> Result<(), StoreError> {
        let begun_ms = now_ms() - saves * 1_000;
        for save in 0..saves {
            let blocks = self.packs(save, packs).await?;
            self.save(save, begun_ms + save * 1_000, &blocks).await?;
        }
        Ok(())
    }

    async fn packs(&self, save: u64, packs: u64) -> Result<Vec<BlockRef>, StoreError> {
        let mut blocks = Vec::new();
        for pack in 0..packs {
            let mut content = vec![0; BLOCK_BYTES];
            let mark = [self.number, save, pack].map(u64::to_le_bytes).concat();
            content[..mark.len()].copy_from_slice(&mark);
            let block = BlockId::of(&content);
            let mut builder = PackBuilder::<BlockId>::default();
            let frame = zstd::bulk::compress(&content, 1).expect("it fits in memory");
            let slot = builder.push(&frame, &[block]);
            let (id, bytes) = builder.finish();
            self.objects.put(&address::pack(id), bytes).await?;
            blocks.push(BlockRef {
                id: block,
                frame: FrameRef { pack: id, slot },
                slot: 0,
            });
        }
        Ok(blocks)
    }

    async fn save(
        &mut self,
        save: u64,
        created_ms: u64,
        blocks: &[BlockRef],
    ) -> Result<(), StoreError> {
        let index = (save % LEAVES) as u32;
        let place = |at: usize| (save / LEAVES) as usize * blocks.len() + at;
        let changes = blocks
            .iter()
            .enumerate()
            .map(|(at, block)| (place(at), Some(*block)));
        let leaf = self
            .leaves
            .entry(index)
            .or_default()
            .edited(&changes.collect());
        let (id, bytes) = leaf.encode();
        self.leaves.insert(index, leaf);
        let object = LeavesId::of(&bytes);
        let reference = LeafRef {
            id,
            object,
            offset: 0,
            bytes: bytes.len() as u32,
        };
        self.root.set_leaf(index, Some(reference));
        let (map, root) = self.root.encode();
        let (hot, list) = hot_list(save, blocks).encode();
        let snapshot = Snapshot {
            hot: Some(hot),
            ..Snapshot::first(
                Lineage {
                    project: "shop".into(),
                    compatibility: "linux-x86_64-overlay2-docker26".into(),
                    scope: format!("branch/b{}", self.number),
                    job: "build".into(),
                },
                created_ms,
                map,
                VOLUME_BYTES,
                EngineRecord::docker("26.1.5", "overlay2"),
            )
        };
        let (id, document) = snapshot.encode();
        let paths = [
            address::leaves(object),
            address::map(map),
            address::hot(hot),
            snapshot.path(id),
        ];
        tokio::try_join!(
            self.objects.put(&paths[0], bytes),
            self.objects.put(&paths[1], root),
            self.objects.put(&paths[2], list),
            self.objects.put(&paths[3], document),
        )?;
        Ok(())
    }
}

fn hot_list(save: u64, blocks: &[BlockRef]) -> HotList {
    HotList {
        frames: blocks.iter().map(|block| hot(save, block)).collect(),
        held: Vec::new(),
    }
}

fn hot(save: u64, block: &BlockRef) -> HotFrame {
    let one = HotBlock {
        block: save,
        id: block.id,
    };
    HotFrame {
        pack: Some(block.frame.pack),
        slot: block.frame.slot,
        idle: 0,
        blocks: vec![(0, one)],
    }
}
