//! The program on real machines: real engines, real stores, real faults.
//!
//! Each test has machines of its own ([`machine::Machine`]): namespaces for mounts, network and
//! processes, so tests neither meet each other nor what else runs here. Root is needed.

// Tests print what they saw of a machine that failed, and hand servers to guards that end them.
#![allow(clippy::print_stderr, clippy::print_stdout, clippy::zombie_processes)]
// Style that reads better where a test tells a story.
#![allow(
    clippy::type_complexity,
    clippy::needless_for_each,
    clippy::nonminimal_bool,
    clippy::manual_assert,
    clippy::needless_pass_by_value
)]

mod beside;
mod bound;
mod builders;
mod buildkit;
mod builds;
mod campaigns;
mod commands;
mod crash;
mod damage;
mod far;
mod folder;
mod foreground;
mod forged;
mod fresh;
mod kit;
mod machine;
mod memory;
mod pipelines;
mod podman;
mod requirements;
mod s3;
mod sealed;
mod session;
mod takeover;
mod trust;
mod uses;
