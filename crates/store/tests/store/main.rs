//! The store with real folders: what is packed reads back, any number of writers lose nothing, and
//! docs/FORMAT.md is true.

mod ahead;
mod archive;
mod attacks;
mod catalogue;
mod cloud;
mod copies;
mod early;
mod format;
mod github;
mod hostile;
mod moto;
mod near;
mod packing;
mod sealed;
mod signed;
mod trouble;
