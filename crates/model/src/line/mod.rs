//! Lines of documents: what a `lineage` is, which of them a job looks through (`ladder`), and which of
//! their documents a store keeps (`retention`).

pub mod ladder;
pub mod lineage;
pub mod retention;
