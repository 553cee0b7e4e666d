//! The frames of one save: numbered when they are begun, placed when their pack has an id.

use std::collections::HashMap;

use larder_model::digest::PackId;
use larder_model::frame::{ChunkFrame, ChunkSlot};

/// Every frame that a save names, by number.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Each frame's pack, and its place there.
    places: Vec<Option<(u32, ChunkSlot)>>,
    /// Packs by number; those of this save get their ids when they are closed.
    packs: Vec<Option<PackId>>,
    pack_numbers: HashMap<PackId, u32>,
}

impl Frames {
    /// A frame that the store has.
    pub(super) fn known(&mut self, frame: ChunkFrame) -> u32 {
        let packs = &mut self.packs;
        let pack = *self.pack_numbers.entry(frame.pack).or_insert_with(|| {
            packs.push(Some(frame.pack));
            packs.len() as u32 - 1
        });
        self.places.push(Some((pack, frame.slot)));
        self.places.len() as u32 - 1
    }

    /// How many frames there are; new ones are numbered from here.
    pub(super) fn count(&self) -> u32 {
        self.places.len() as u32
    }

    /// A pack of this save, whose id is not known yet.
    pub(super) fn begin_pack(&mut self) -> u32 {
        self.packs.push(None);
        self.packs.len() as u32 - 1
    }

    /// Frame `number` came to rest in `pack`.
    pub(super) fn place(&mut self, number: u32, pack: u32, slot: ChunkSlot) {
        let number = number as usize;
        if self.places.len() <= number {
            self.places.resize(number + 1, None);
        }
        self.places[number] = Some((pack, slot));
    }

    /// The id of a pack of this save.
    pub(super) fn name_pack(&mut self, pack: u32, id: PackId) {
        self.packs[pack as usize] = Some(id);
    }

    /// Where a frame is, once it is known.
    pub(super) fn get(&self, number: u32) -> Option<ChunkFrame> {
        let (pack, slot) = (*self.places.get(number as usize)?)?;
        let pack = self.packs[pack as usize]?;
        Some(ChunkFrame { pack, slot })
    }
}
