//! The machine that an engine is started on: its own engine, and its processes.

pub mod holders;
pub mod process;
pub(crate) mod settings;
pub mod system;
pub mod takeover;
