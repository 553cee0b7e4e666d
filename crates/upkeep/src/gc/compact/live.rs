//! What of each pack documents name, by frames: two documents that name the same count once.

use std::collections::HashMap;

use larder_model::archive::Part;
use larder_model::digest::PackId;
use larder_model::garbage::Brief;
use larder_model::hot::HotList;
use larder_model::limits::{CHUNK_MIN_BYTES, FRAME_CONTENT_BYTES};
use larder_model::map::Leaf;

use crate::reach::Reach;

/// What a pack has beside frames and their entries in its index: header and trailer.
const PACK_OVERHEAD_BYTES: u64 = 32;
/// An entry in the index of a pack, of a frame and of each piece in it (FORMAT.md, "Packs"); of chunks they have 4 bytes
/// more.
const ENTRY_BYTES: u64 = 13;
const PIECE_BYTES: u64 = 36;

/// Frames of packs, which are called by their numbers.
#[derive(Default)]
pub(super) struct Live(HashMap<(u32, u32), Frame>);

/// A frame is looked at in units, each a bit: its blocks, or stretches of the content of chunks.
struct Frame {
    stored_bytes: u32,
    units: u32,
    named: u64,
}

const _: () = assert!(FRAME_CONTENT_BYTES / CHUNK_MIN_BYTES <= 64);

impl Live {
    /// What a leaf names.
    pub(super) fn leaf(&mut self, leaf: &Leaf, reach: &Reach) {
        let mut last = None;
        for (_, rests) in leaf.blocks() {
            let (pack, slot) = (rests.frame.pack, rests.frame.slot);
            let units = (slot.stored_bytes, u32::from(slot.holds));
            self.names(reach, &mut last, pack, slot.offset, units, 1 << rests.slot);
        }
    }

    /// What a hot list names whole: frames of packs that the map does not name.
    pub(super) fn hot(&mut self, hot: &HotList, reach: &Reach, is_in_map: impl Fn(u32) -> bool) {
        let mut last = None;
        for frame in &hot.frames {
            let number = frame.pack.and_then(|pack| number(reach, pack));
            if let (Some(pack), false) = (frame.pack, number.is_none_or(&is_in_map)) {
                let slot = frame.slot;
                let units = (slot.stored_bytes, u32::from(slot.holds));
                self.names(reach, &mut last, pack, slot.offset, units, u64::MAX);
            }
        }
    }

    /// What a part of a recipe names.
    pub(super) fn part(&mut self, part: &Part, reach: &Reach) {
        let mut last = None;
        for chunk in part.chunks() {
            let frame = part.frames()[chunk.frame as usize];
            let first = chunk.offset as usize / CHUNK_MIN_BYTES;
            let end = ((chunk.offset + chunk.bytes) as usize).div_ceil(CHUNK_MIN_BYTES);
            let bits = (first..end.min(64)).fold(0, |bits, at| bits | 1 << at);
            let units = (frame.slot.holds as usize).div_ceil(CHUNK_MIN_BYTES) as u32;
            let units = (frame.slot.stored_bytes, units);
            self.names(reach, &mut last, frame.pack, frame.slot.offset, units, bits);
        }
    }

    fn names(
        &mut self,
        reach: &Reach,
        last: &mut Option<(PackId, u32)>,
        pack: PackId,
        offset: u32,
        (stored_bytes, units): (u32, u32),
        bits: u64,
    ) {
        // Frames of a pack come together.
        let known = last.filter(|(same, _)| *same == pack);
        let Some((_, number)) = known.or_else(|| Some((pack, number(reach, pack)?))) else {
            return;
        };
        *last = Some((pack, number));
        let frame = self.0.entry((number, offset)).or_insert(Frame {
            stored_bytes,
            units,
            named: 0,
        });
        frame.named |= bits;
    }

    /// What is named of each of so many objects, in bytes.
    pub(super) fn bytes(&self, objects: usize) -> Vec<u64> {
        let mut bytes = vec![0; objects];
        for ((pack, _), frame) in &self.0 {
            let named = u64::from(frame.named.count_ones().min(frame.units));
            let whole = u64::from(frame.stored_bytes) + ENTRY_BYTES;
            let part = whole * named / u64::from(frame.units) + PIECE_BYTES * named;
            let pack = &mut bytes[*pack as usize];
            *pack = (*pack).max(PACK_OVERHEAD_BYTES) + part;
        }
        bytes
    }
}

fn number(reach: &Reach, pack: PackId) -> Option<u32> {
    reach.number(Brief::of(pack.as_bytes()))
}
