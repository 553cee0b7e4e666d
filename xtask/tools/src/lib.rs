//! What contributors' tasks are made of: programs that are run to their end or installed, cargo, what is said,
//! random numbers that come again, a proxy that does to requests what bad days do, a line that makes a server far
//! away, and machines made of namespaces.

pub mod cargo;
pub mod compiled;
pub mod process;
pub mod proxy;
pub mod python;
pub mod random;
pub mod room;
pub mod say;
pub mod traces;
pub mod wire;
