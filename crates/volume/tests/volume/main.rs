//! Volumes with the real parts: FUSE, loop devices and ext4, over a store in a folder. Needs root.

mod faults;
mod kit;
mod round_trip;
