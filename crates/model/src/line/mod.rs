//! Lines of documents: what a `lineage` is, which of them a job looks through (`ladder`), which of
//! their documents a store keeps (`retention`), and what their jobs came to (`history`).

pub mod history;
pub mod ladder;
pub mod lineage;
pub mod retention;
