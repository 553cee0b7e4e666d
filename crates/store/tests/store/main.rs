//! The store with real folders: what is packed reads back, any number of writers lose nothing, and
//! docs/FORMAT.md is true.

mod archive;
mod catalogue;
mod cloud;
mod format;
mod packing;
mod trouble;
