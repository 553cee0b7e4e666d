//! Care for a store: what nobody needs any more is removed, what is damaged is found, and documents are
//! removed, promoted and copied.
//!
//! | module | holds |
//! |---|---|
//! | `documents` | the documents of a store as a listing shows them, and which of them are meant |
//! | `reach` | what documents name, all the way down |
//! | [`gc`] | removing what is too old, and what nothing names |
//! | [`verify`] | finding what is damaged, and dropping what cannot be read |
//! | [`shelf`] | documents as people look at them |
//! | [`policy`] | what jobs must be allowed to do to a store in a cloud |
//! | [`remove`], [`promote`], [`copy`] | single documents: removed, made another scope's head, copied to another store |

pub mod copy;
mod documents;
pub mod gc;
pub mod policy;
pub mod promote;
mod reach;
pub mod remove;
pub mod shelf;
pub mod verify;

pub use documents::{Listed, Selection, list, scopes_meant_by};
