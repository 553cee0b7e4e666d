//! The map of a volume: which frame holds each of its blocks.
//!
//! A tree of two levels. A [`Leaf`] covers [`LEAF_BLOCKS`] blocks and is
//! named by its content; the [`MapRoot`] lists the leaves. A save writes the leaves that changed
//! and a new root; everything else is shared with the parent. Blocks of zeros have no entry, and a
//! leaf of zeros has none in the root, so an empty volume of any size is a root without leaves.

mod leaf;
mod root;

pub use leaf::Leaf;
pub use root::{LeafRef, MapRoot};

use crate::format::limits::LEAF_BLOCKS;

/// The leaf that covers a block, and the block's place in it.
pub fn leaf_of(block: u64) -> (u32, usize) {
    let leaf = block / LEAF_BLOCKS as u64;
    (
        u32::try_from(leaf).expect("the largest volume has fewer than 2^32 leaves"),
        (block % LEAF_BLOCKS as u64) as usize,
    )
}
