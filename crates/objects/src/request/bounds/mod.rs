//! What is read of a store has an end, whatever it answers: bodies, and lists of names.

mod answers;
mod names;

pub(crate) use answers::{bounded, collect};
pub(crate) use names::{Names, What};
