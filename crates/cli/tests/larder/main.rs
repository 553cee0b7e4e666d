//! The program on real machines: real engines, real stores, real faults.
//!
//! Each test has machines of its own ([`machine::Machine`]): namespaces for mounts, network and
//! processes, so tests neither meet each other nor what else runs here. Root is needed.

mod beside;
mod builds;
mod commands;
mod crash;
mod damage;
mod far;
mod fresh;
mod kit;
mod machine;
mod memory;
mod requirements;
mod session;
mod takeover;
