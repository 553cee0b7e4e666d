//! Archives: what is saved reads back bit for bit, whatever it is; what is damaged is found; what
//! did not change costs nothing.

mod any_bytes;
mod faults;
pub(crate) mod kit;
mod sharing;
mod tars;
