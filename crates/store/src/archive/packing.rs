//! From raw frames to packs in the store: compressed on every core, uploaded while the next ones are
//! made.

use std::collections::VecDeque;
use std::sync::Arc;

use larder_model::address;
use larder_model::digest::{ChunkId, PackId};
use larder_model::limits::PACK_BYTES;
use larder_model::pack::PackBuilder;
use tokio::task::JoinHandle;

use super::buffers::Buffers;
use super::cutter::NewFrame;
use super::frames::Frames;
use crate::codec::Pool;
use crate::uploads::Uploads;
use larder_objects::{Objects, StoreError, blocking};

/// Compresses frames, fills packs, uploads them.
pub(super) struct Packing {
    objects: Objects,
    pub frames: Frames,
    buffers: Buffers,
    /// For frames of meta and of content.
    compressors: [Arc<Pool>; 2],
    compressing: VecDeque<JoinHandle<NewFrame>>,
    compressing_max: usize,
    pack: PackBuilder<ChunkId>,
    pack_number: u32,
    uploads: Uploads<Uploaded>,
    pub stored_bytes: u64,
}

struct Uploaded {
    pack_number: u32,
    id: PackId,
    bytes: u64,
}

impl Packing {
    pub(super) fn new(
        objects: Objects,
        mut frames: Frames,
        buffers: Buffers,
        high: Arc<Pool>,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            objects,
            pack_number: frames.begin_pack(),
            frames,
            buffers,
            compressors: [high, Pool::fast()],
            compressing: VecDeque::new(),
            // Some more than run at once, so that no core waits for the next frame. Each is up to
            // 2 MiB; the bound is for machines with very many cores.
            compressing_max: (2 * cores).clamp(4, 24),
            pack: PackBuilder::default(),
            uploads: Uploads::default(),
            stored_bytes: 0,
        }
    }

    /// Takes a frame. Waits while as many as may be are on their way.
    pub(super) async fn push(&mut self, mut frame: NewFrame) -> Result<(), StoreError> {
        while self
            .compressing
            .front()
            .is_some_and(JoinHandle::is_finished)
            || self.compressing.len() >= self.compressing_max
        {
            self.add_oldest().await?;
        }
        let pool = Arc::clone(&self.compressors[frame.stream as usize]);
        let buffers = self.buffers.clone();
        let compressing = tokio::task::spawn_blocking(move || {
            let mut stored = buffers.take();
            pool.compress_into(&frame.content, &mut stored);
            buffers.give(frame.content);
            frame.content = stored;
            frame
        });
        self.compressing.push_back(compressing);
        Ok(())
    }

    /// Puts the frame that was begun first into the pack: the same blobs make the same packs, however
    /// fast each core was.
    async fn add_oldest(&mut self) -> Result<(), StoreError> {
        let Some(oldest) = self.compressing.pop_front() else {
            return Ok(());
        };
        let frame = oldest.await.expect("compressing does not panic");
        let slot = self.pack.push(&frame.content, &frame.chunks);
        self.buffers.give(frame.content);
        self.frames.place(frame.number, self.pack_number, slot);
        if self.pack.len() >= PACK_BYTES {
            self.close_pack().await?;
        }
        Ok(())
    }

    /// Starts the upload of the open pack. Waits while as many as may be are in upload.
    async fn close_pack(&mut self) -> Result<(), StoreError> {
        if self.pack.is_empty() {
            return Ok(());
        }
        let pack = std::mem::take(&mut self.pack);
        let pack_number = std::mem::replace(&mut self.pack_number, self.frames.begin_pack());
        let objects = self.objects.clone();
        let upload = async move {
            let (id, pack) = blocking(|| pack.finish()).await;
            let bytes = pack.len() as u64;
            objects.put(&address::pack(id), pack).await?;
            Ok(Uploaded {
                pack_number,
                id,
                bytes,
            })
        };
        if let Some(uploaded) = self.uploads.start(upload).await? {
            self.note(&uploaded);
        }
        Ok(())
    }

    fn note(&mut self, uploaded: &Uploaded) {
        self.frames.name_pack(uploaded.pack_number, uploaded.id);
        self.stored_bytes += uploaded.bytes;
    }

    /// Waits until everything is stored.
    pub(super) async fn finish(&mut self) -> Result<(), StoreError> {
        while !self.compressing.is_empty() {
            self.add_oldest().await?;
        }
        self.close_pack().await?;
        while let Some(uploaded) = self.uploads.next().await? {
            self.note(&uploaded);
        }
        Ok(())
    }
}
