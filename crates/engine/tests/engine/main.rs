//! The engine crate against real engines: needs root, Docker, buildx, busybox-static, iptables.
//!
//! Every test stands on a [`machine::Machine`], network and mount namespaces of its own, so that tests
//! run side by side and none can touch the real host's firewall, interfaces or engine.

#![allow(unreachable_pub)] // several test binaries share these modules
#![allow(clippy::print_stdout)] // a test that is skipped says why

mod cgroups;
mod faults;
#[path = "../../../docker/tests/docker/machine.rs"]
mod machine;
mod network;
mod own;
mod remember;
#[path = "../../../docker/tests/docker/room.rs"]
mod room;
mod takeover;
