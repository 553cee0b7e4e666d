//! What contributors' tasks are made of: programs that are run to their end, cargo, and what is said.

pub mod cargo;
pub mod process;
pub mod say;
