//! The machine at hand, as every floor above needs it: [`files`] that are private and written whole,
//! [`programs`] that are found where they usually are, and the [`clock`].

pub mod clock;
pub mod files;
pub mod programs;
