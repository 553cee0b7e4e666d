//! The values and rules of Larder: what a block, a pack, a map, a snapshot and a lineage are, and
//! how each of them is written as bytes.
//!
//! Nothing in this crate performs IO, waits, reads a clock or looks at the environment; bytes and
//! times are given by the caller. `docs/FORMAT.md` describes the same formats for readers of the
//! bytes; each type's own documentation is the authority.

pub mod address;
pub mod archive;
pub mod compatibility;
pub mod diff;
pub mod digest;
pub mod dockerfile;
pub mod document;
pub mod fingerprint;
pub mod frame;
pub mod go;
pub mod hex;
pub mod hot;
pub mod identity;
pub mod images;
pub mod key;
pub mod ladder;
pub mod limits;
pub mod lineage;
pub mod map;
pub mod oci;
pub mod pack;
pub mod plan;
pub mod reference;
pub mod snapshot;
pub mod version;
pub mod wire;

// Block arithmetic moves freely between `u64` and `usize`.
const _: () = assert!(usize::BITS == 64, "Larder runs on 64-bit systems only");
