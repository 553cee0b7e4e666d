//! The engine crate against real engines: needs root, Docker, buildx, busybox-static, iptables.
//!
//! Every test stands on a [`machine::Machine`], network and mount namespaces of its own, so that tests
//! run side by side and none can touch the real host's firewall, interfaces or engine.

mod application;
mod engines;
mod faults;
mod machine;
mod network;
mod remember;
mod remote;
mod room;
mod round_trip;
mod shelf;
mod streams;
mod takeover;
