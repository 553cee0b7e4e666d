//! Lines of documents: what a `lineage` is, which of them a job looks through (`ladder`) and starts
//! from where several stand beside each other (`siblings`), which of
//! their documents a store keeps (`retention`) and which of its packs (`compaction`), and what their jobs came to
//! (`history`).

pub mod compaction;
pub mod history;
pub mod ladder;
pub mod lineage;
pub mod retention;
pub mod siblings;
