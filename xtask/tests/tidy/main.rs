//! The rules of the house that no lint knows: lengths, floors, and who may do what.
//!
//! Everything is read as text: rustfmt makes the forms of Rust few enough for that. CONTRIBUTING.md
//! names the rules, docs/ARCHITECTURE.md their reasons.

mod arrows;
mod documents;
mod doors;
mod figures;
mod floors;
mod packages;
mod public;
mod readme;
mod source;
