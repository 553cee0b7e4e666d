//! Blocks as a disk: a virtual disk whose blocks are fetched when they are first read.
//!
//! Three layers of the kernel turn a [`Source`](larder_store::Source) into a mounted file system: a
//! FUSE file system with one file (`disk`), a loop device over that file (`device`), and ext4 on
//! the device (`filesystem`). All of them live in a mount namespace of their own ([`room`]), so
//! that whatever happens to this process, the mounts end with the engine's last process.
//!
//! `unsafe` code is here alone, but for one call in `local`: the system calls that no library wraps safely.

mod alarm;
mod blocks;
pub mod connection;
mod device;
mod disk;
mod early;
mod error;
mod filesystem;
pub mod flusher;
mod part;
mod prefetch;
mod region;
pub mod room;
pub mod volume;

pub use alarm::Hearing;

pub use device::{devices_over, probe};
pub use error::{Fault, VolumeError};
pub use filesystem::attached;
pub use prefetch::Prefetch;
pub use room::Room;
pub use volume::{Opened, Seal, Volume, VolumeOptions};
