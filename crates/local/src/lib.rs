//! The machine and the people at hand, as every floor above needs them: [`files`] that are private and
//! written whole, [`programs`] that are found where they usually are, the [`clock`], and the [`people`]
//! who wait for a job.

pub mod clock;
pub mod files;
pub mod people;
pub mod programs;
