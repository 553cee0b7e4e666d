//! Laying out volumes anew: what of them rests in packs that are given up is stored again, in the order of the
//! volume.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::StreamExt as _;
use larder_model::address;
use larder_model::digest::{BlockId, HotListId, LeafId, MapId, PackId};
use larder_model::frame::{BlockRef, FrameRef, FrameSlot};
use larder_model::hot::{HotFrame, HotList, WRITTEN};
use larder_model::limits::{BLOCK_BYTES, PACK_BYTES};
use larder_model::map::LeafRef;
use larder_model::pack::PackBuilder;

use super::classify::Workers;
use super::compact::Moving;
use super::{Assembled, Changed, Changes, PackProgress, finish, leaves, store_changed, together};
use crate::codec;
use crate::fetch::{Fetcher, Piece};
use crate::source::{Source, closure};
use larder_objects::{Objects, StoreError};

/// Frames of a hot list that are read at once.
const READS: usize = 8;

/// Volumes that are laid out anew one after the other. What two of them share is stored once.
#[derive(Debug)]
pub struct Relayout {
    objects: Objects,
    given_up: HashSet<PackId>,
    /// Where contents rest now that have moved.
    moved: HashMap<BlockId, BlockRef>,
    /// Where leaves are that were written.
    leaves: HashMap<LeafId, LeafRef>,
    /// Where frames of hot lists rest now.
    frames: HashMap<FrameRef, FrameRef>,
    progress: Arc<PackProgress>,
}

impl Relayout {
    /// Volumes that are to leave these packs.
    pub fn new(objects: Objects, given_up: HashSet<PackId>) -> Self {
        Self {
            objects,
            given_up,
            moved: HashMap::new(),
            leaves: HashMap::new(),
            frames: HashMap::new(),
            progress: Arc::default(),
        }
    }

    /// Bytes of all objects written so far.
    pub fn stored_bytes(&self) -> u64 {
        self.progress.stored_bytes.load(Ordering::Relaxed)
    }

    /// The map and the hot list that find a volume without these packs. What cannot be read stays where it is, and
    /// whoever needs it will say so.
    pub async fn volume(
        &mut self,
        map: MapId,
        hot: Option<HotListId>,
    ) -> Result<(MapId, Option<HotListId>), StoreError> {
        let source = Arc::new(Source::open(self.objects.clone(), map, None).await?);
        let moved = self.moved.clone();
        let moving = Arc::new(Moving::out_of(&source, &self.given_up, moved).await?);
        // Nothing has changed but where it rests.
        let unread = |_: u64, _: &mut [u8]| Err(io::Error::other("it is read from the store"));
        let (mut stored, touched) = store_changed(
            &source,
            Changed::default(),
            Assembled::default(),
            (Workers::All, &moving),
            unread,
            &self.progress,
        )
        .await?;
        let anew = (moving.leaves, &mut self.leaves);
        let written = leaves::write(&source, &touched, &stored.changes, anew, &self.progress);
        let (map, ()) = tokio::try_join!(written, finish(&mut stored.uploads))?;
        self.moved.extend(stored.placed());
        let hot = match hot {
            Some(id) => Some(self.hot_list(id, &source, &stored.changes).await?),
            None => None,
        };
        Ok((map, hot))
    }

    /// A hot list that names no such pack. It is advice: what cannot be read is left out, and a list that cannot stays
    /// as it is.
    async fn hot_list(
        &mut self,
        id: HotListId,
        source: &Source,
        changes: &Changes,
    ) -> Result<HotListId, StoreError> {
        let mut list = match closure::hot(&self.objects, id, source.root().blocks()).await {
            Err(error) if error.is_damage() => return Ok(id),
            list => list?,
        };
        if list
            .frames
            .iter()
            .all(|frame| self.left_pack(frame).is_none())
        {
            return Ok(id);
        }
        let in_map = in_map(source);
        self.copy_frames(&list, &in_map).await?;
        let frames = std::mem::take(&mut list.frames).into_iter();
        list.frames = frames
            .flat_map(|frame| self.placed(frame, &in_map, source, changes))
            .collect();
        let (id, bytes) = list.encode();
        self.put(address::hot(id), bytes).await?;
        Ok(id)
    }

    /// The pack of a frame, if it is given up.
    fn left_pack(&self, frame: &HotFrame) -> Option<PackId> {
        frame.pack.filter(|pack| self.given_up.contains(pack))
    }

    /// Where a frame of a hot list is now: as it was in another pack, or, of one that the map names, where the map has
    /// its blocks.
    fn placed(
        &self,
        frame: HotFrame,
        in_map: &HashSet<PackId>,
        source: &Source,
        changes: &Changes,
    ) -> Vec<HotFrame> {
        let Some(pack) = self.left_pack(&frame) else {
            return vec![frame];
        };
        if in_map.contains(&pack) {
            let mut blocks = frame.blocks.into_iter().map(|(_, one)| one).collect();
            let mut frames = together::refer(source, changes, &mut blocks);
            let idle = if frame.idle == WRITTEN { WRITTEN } else { 0 };
            for one in &mut frames {
                one.idle = idle;
            }
            return frames;
        }
        let slot = frame.slot;
        let now = self.frames.get(&FrameRef { pack, slot });
        let now = now.map(|now| HotFrame {
            pack: Some(now.pack),
            slot: now.slot,
            ..frame
        });
        now.into_iter().collect()
    }

    /// Copies the frames that only hot lists name and that are not copied yet, as they are.
    async fn copy_frames(
        &mut self,
        list: &HotList,
        in_map: &HashSet<PackId>,
    ) -> Result<(), StoreError> {
        let fetcher = Fetcher::new(self.objects.clone());
        let named = list.frames.iter().filter_map(|frame| {
            let pack = self.left_pack(frame)?;
            let slot = frame.slot;
            Some(FrameRef { pack, slot }).filter(|_| !in_map.contains(&pack))
        });
        let new = named.filter(|frame| !self.frames.contains_key(frame));
        let reads = new.map(|frame| read_frame(&fetcher, frame));
        let reads: Vec<_> = reads.collect();
        let mut reads = futures_util::stream::iter(reads).buffered(READS);
        let mut pack = PackBuilder::<BlockId>::default();
        let mut waiting = Vec::new();
        while let Some(read) = reads.next().await {
            let (frame, stored, ids) = match read {
                Err(error) if error.is_damage() => continue,
                read => read?,
            };
            waiting.push((frame, pack.push(&stored, &ids)));
            if pack.len() >= PACK_BYTES {
                let full = std::mem::take(&mut pack);
                self.put_pack(full, std::mem::take(&mut waiting)).await?;
            }
        }
        if !waiting.is_empty() {
            self.put_pack(pack, waiting).await?;
        }
        Ok(())
    }

    async fn put_pack(
        &mut self,
        pack: PackBuilder<BlockId>,
        frames: Vec<(FrameRef, FrameSlot)>,
    ) -> Result<(), StoreError> {
        let (pack, bytes) = pack.finish();
        self.put(address::pack(pack), bytes).await?;
        let placed = frames.into_iter();
        self.frames
            .extend(placed.map(|(frame, slot)| (frame, FrameRef { pack, slot })));
        Ok(())
    }

    async fn put(&self, path: String, bytes: Vec<u8>) -> Result<(), StoreError> {
        let len = bytes.len() as u64;
        self.objects.put(&path, bytes).await?;
        self.progress.stored_bytes.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }
}

/// The packs that a map names.
fn in_map(source: &Source) -> HashSet<PackId> {
    let frames = source.leaves_read().flat_map(|leaf| leaf.frames());
    frames.map(|frame| frame.pack).collect()
}

/// A frame as it is stored, and the ids of its blocks.
async fn read_frame(
    fetcher: &Fetcher,
    frame: FrameRef,
) -> Result<(FrameRef, Bytes, Vec<BlockId>), StoreError> {
    let path = &address::pack(frame.pack);
    let piece = Piece::part(path, frame.range());
    let read = fetcher.verified(piece, |stored| async move {
        let holds = usize::from(frame.slot.holds) * BLOCK_BYTES;
        let content = codec::decompress_exactly(&stored, holds)
            .map_err(|why| StoreError::damaged(path, why))?;
        let ids = content.chunks(BLOCK_BYTES).map(BlockId::of).collect();
        Ok((frame, stored, ids))
    });
    read.await
}
