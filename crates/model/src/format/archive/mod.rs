//! Archives: saved images, as the named blobs that an engine's own `save` is made of.
//!
//! A blob is a byte string of any size that is rebuilt bit for bit. It is split into two streams
//! ([`split`]), each is cut into chunks by content ([`chunk`]), and chunks that the store does not
//! have yet are put into frames of chunk packs ([`crate::format::pack`]). A **recipe** says how the blob is
//! rebuilt, in [`Part`]s of a bounded stretch each. The [`Archive`] names all of it and is written
//! last.
//!
//! | module | holds |
//! |---|---|
//! | [`split`] | which bytes of a tar are headers and which are contents |
//! | [`chunk`] | where chunks end |
//! | [`runs`] | run lengths: how the two streams interleave |
//! | [`part`] | the format of a recipe's part |
//! | [`weave`] | a blob put together again |
//! | [`document`] | the archive's document |

pub mod chunk;
pub mod document;
pub mod part;
pub mod runs;
pub mod split;
mod tar;
pub mod weave;

pub use document::{Archive, Blob, Measured, PartRef, Place, Statistics};
pub use part::{Chunk, Draft, Part};
pub use weave::Weaver;
