//! The catalog: publishing documents (snapshots and archives), and finding the newest one that a
//! ladder allows.
//!
//! There is no index. A lineage is a folder whose names sort newest first; publishing is writing
//! one more object into it, so any number of writers at once lose nothing. Beside them lies a copy of the one that was
//! written last, which nobody relies on.

mod copies;
mod documents;
mod marks;
mod sweeps;
mod walk;

pub use documents::{
    Candidate, Found, candidates, counter, head, list, publish, publish_as_it_is, read, read_at,
};
pub use marks::{Reader, marks};
pub use sweeps::holds;
pub use walk::{Refusal, Refused, Walk, Walked};
