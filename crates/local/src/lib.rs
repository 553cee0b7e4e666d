//! What all floors above need of the machine they run on: private [`files`] that are written whole, the
//! places of [`programs`], the [`clock`], which [`machine`] it is; and what the [`people`] who wait for a job
//! are told.

pub mod clock;
pub mod files;
pub mod machine;
pub mod people;
pub mod programs;
