//! Lines of documents: what a `lineage` is, which of them a job looks through (`ladder`) and starts
//! from where several stand beside each other (`siblings`), which of
//! their documents a store keeps (`retention`) and which of its packs (`compaction`), what their jobs came to
//! (`history`) and how these went in time (`course`).

pub mod compaction;
pub mod course;
pub mod history;
pub mod ladder;
pub mod lineage;
pub mod retention;
pub mod siblings;
