//! Care for a store that is a real folder, beside writers that are ended at any moment.

mod clouds;
mod compaction;
mod copying;
mod damage;
mod garbage;
mod kit;
#[path = "../../../store/tests/store/moto.rs"]
mod moto;
mod policies;
mod single;
mod volumes;
mod writers;
