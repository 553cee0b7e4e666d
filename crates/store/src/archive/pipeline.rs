//! The stations of a save between a blob's bytes and its stored recipe, in order: cutter, packing,
//! recipes.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use larder_model::archive::{Archive, Draft, PartRef, Statistics};
use larder_model::digest::PackId;

use super::buffers::Buffers;
use super::cutter::{Cut, Cutter};
use super::frames::Frames;
use super::known::Known;
use super::packing::Packing;
use super::recipes::{Placed, Recipes};
use crate::codec::Pool;
use larder_objects::{Objects, StoreError, blocking};

/// Cuts blobs and stores what is new of them.
pub(super) struct Pipeline {
    /// Absent while it works.
    cutter: Option<Box<Cutter>>,
    packing: Packing,
    /// Drafts whose frames may not be stored yet, with their blobs' numbers, in order.
    drafts: VecDeque<(usize, Draft)>,
    recipes: Recipes,
    /// The parts of each blob that are stored, or will be with the next object of parts.
    blobs: Vec<Vec<Placed>>,
}

impl Pipeline {
    /// Reads the recipes of archives whose chunks need not be stored again, unless they rest in packs that are left.
    pub(super) async fn new(
        objects: Objects,
        archives: &[&Archive],
        left: &HashSet<PackId>,
    ) -> Result<Self, StoreError> {
        let mut frames = Frames::default();
        let known = Known::of(&objects, archives, left, &mut frames).await?;
        let (buffers, high) = (Buffers::default(), Pool::high());
        let cutter = Cutter::new(known, buffers.clone(), frames.count());
        Ok(Self {
            cutter: Some(Box::new(cutter)),
            packing: Packing::new(objects.clone(), frames, buffers, Arc::clone(&high)),
            drafts: VecDeque::new(),
            recipes: Recipes::new(objects, high),
            blobs: Vec::new(),
        })
    }

    /// The next blob begins.
    pub(super) fn begin_blob(&mut self) {
        self.blobs.push(Vec::new());
    }

    /// The next bytes of the blob.
    pub(super) async fn cut(&mut self, pieces: Vec<Bytes>) -> Result<(), StoreError> {
        self.with_cutter(move |cutter| cutter.feed(&pieces)).await
    }

    pub(super) async fn end_blob(&mut self) -> Result<(), StoreError> {
        self.with_cutter(Cutter::end_blob).await
    }

    /// Runs the cutter on a thread that may compute, and hands on what it made.
    async fn with_cutter(
        &mut self,
        run: impl FnOnce(&mut Cutter) -> Cut + Send + 'static,
    ) -> Result<(), StoreError> {
        let idle = self.cutter.take();
        let mut cutter = idle.expect("a blob that was given up is the last");
        let (cutter, cut) = blocking(move || {
            let cut = run(&mut cutter);
            (cutter, cut)
        })
        .await;
        self.cutter = Some(cutter);
        for frame in cut.frames {
            self.packing.push(frame).await?;
        }
        let number = self.blobs.len() - 1;
        self.drafts
            .extend(cut.drafts.into_iter().map(|draft| (number, draft)));
        self.settle().await
    }

    /// Stores the parts whose frames are stored.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let frames = &self.packing.frames;
        while let Some((_, oldest)) = self.drafts.front() {
            let mut chunks = oldest.chunks.iter().flatten();
            if chunks.any(|chunk| frames.get(chunk.frame).is_none()) {
                break;
            }
            let (number, draft) = self.drafts.pop_front().expect("it was looked at");
            let part = draft.place(|frame| frames.get(frame).expect("it was looked at before"));
            let placed = self.recipes.push(part).await?;
            self.blobs[number].push(placed);
        }
        Ok(())
    }

    /// Waits until everything is stored; gives the parts of each blob, in order.
    pub(super) async fn finish(
        mut self,
        statistics: &mut Statistics,
    ) -> Result<Vec<Vec<PartRef>>, StoreError> {
        self.with_cutter(Cutter::end).await?;
        self.packing.finish().await?;
        self.settle().await?;
        debug_assert!(self.drafts.is_empty(), "every frame has its place");
        self.recipes.close().await?;
        let cutter = self.cutter.expect("it came back");
        statistics.new_chunks = cutter.new_chunks;
        statistics.new_bytes = cutter.new_bytes;
        statistics.stored_bytes = self.packing.stored_bytes + self.recipes.stored_bytes;
        let placed = self.blobs.iter();
        let parts = placed.map(|parts| parts.iter().map(|part| self.recipes.place(part)).collect());
        Ok(parts.collect())
    }
}
