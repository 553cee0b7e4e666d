//! The values and rules of Larder: what a block, a pack, a map, a snapshot and a lineage are, and
//! how each of them is written as bytes.
//!
//! Nothing in this crate performs IO, waits, reads a clock or looks at the environment; bytes and
//! times are given by the caller. `docs/FORMAT.md` describes the same formats for readers of the
//! bytes; each type's own documentation is the authority.

pub mod compatibility;
pub mod digest;
pub mod dockerfile;
pub mod fingerprint;
mod format;
pub mod go;
pub mod hex;
pub mod identity;
mod line;
pub mod oci;
pub mod plan;
pub mod reference;
mod volume;

pub use compatibility::version;
pub use line::{compaction, course, history, ladder, lineage, retention, siblings};
pub use volume::{dropping, habit, leaves, pace, space, uses};

// The formats' own folder keeps this list short; who uses a pack or a map names just that.
pub use format::{
    address, archive, clock, document, frame, garbage, hot, images, limits, map, mark, pack,
    sealed, signature, snapshot, wire,
};

// Block arithmetic moves freely between `u64` and `usize`.
const _: () = assert!(usize::BITS == 64, "Larder runs on 64-bit systems only");
