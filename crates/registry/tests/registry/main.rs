//! The registry client against a real registry, and against a scripted one that misbehaves.

mod authentication;
mod content;
mod distribution;
mod latency;
mod memory;
mod mirrors;
mod real;
mod server;
mod shelf;
mod trouble;
