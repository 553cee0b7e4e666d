//! What all floors above need of the machine they run on: private [`files`] that are written whole, folders
//! that are our [`own`], the [`checkout`] that is somebody else's, the places of [`programs`] and what they
//! answer ([`child`]), a bounded [`shelf`] of files, the [`clock`], a [`disk`], which [`machine`] it is and its
//! [`users`]; and what the [`people`] who wait for a job are told.

pub mod checkout;
pub mod child;
pub mod clock;
pub mod disk;
pub mod files;
pub mod listening;
pub mod machine;
pub mod names;
pub mod own;
pub mod people;
pub mod programs;
pub mod shelf;
pub mod users;
