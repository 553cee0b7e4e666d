//! Volumes with the real parts: FUSE, loop devices and ext4, over a store in a folder. Needs root.

// In a test, what `unwrap` prints (the error and the line) is what one wants to know.
#![allow(clippy::unwrap_used)]

mod deleted;
mod faults;
mod kit;
mod round_trip;
