//! The crate against real engines of two versions: needs root, Docker, buildx, busybox-static, openssl.
//!
//! Every test stands on a [`machine::Machine`], network and mount namespaces of its own, so that tests
//! run side by side and none can touch the real host's firewall, interfaces or engine.

#![allow(unreachable_pub)] // several test binaries share these modules

mod application;
mod engines;
#[allow(dead_code)] // shared with the tests of engines of ours, which use all of it
mod machine;
mod remote;
mod room;
mod round_trip;
mod shelf;
mod streams;
mod upkeep;
