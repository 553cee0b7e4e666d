//! The store with real folders: what is packed reads back, and any number of writers lose nothing.

mod catalogue;
mod packing;
