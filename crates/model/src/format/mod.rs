//! What a store holds, byte for byte: `docs/FORMAT.md`, type by type.
//!
//! `wire` reads and writes numbers and headers, `limits` bounds everything. Blocks and chunks rest in
//! `frame`s of a `pack`; a `map` says where the blocks of a volume are, an `archive` how blobs are
//! rebuilt. `snapshot` and [`Archive`](archive::Archive) are the `document`s that jobs find by their
//! `address`, unless a `mark` says not to; a `signature` says who vouches for either. `hot` and `images` are
//! lists beside them, `garbage` what a collection is about to remove. All of it may be `sealed`.

pub mod address;
pub mod archive;
pub mod clock;
pub mod document;
pub mod frame;
pub mod limits;
mod lists;
pub mod map;
pub mod mark;
pub mod pack;
pub mod sealed;
pub mod signature;
pub mod snapshot;
pub mod wire;

pub use lists::{garbage, hot, images};
