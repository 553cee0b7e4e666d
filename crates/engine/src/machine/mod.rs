//! The machine that an engine is started on: its own engine, and its processes.

pub mod cgroups;
pub mod holders;
pub mod process;
pub mod rights;
pub(crate) mod settings;
pub mod system;
pub mod takeover;
