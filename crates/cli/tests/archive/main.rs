//! The archive door on real engines of two versions: what one machine builds and saves, a fresh one
//! restores and finds. Root is needed.

#![allow(clippy::print_stdout)] // a test that is skipped says why

#[path = "../../../docker/tests/docker/application.rs"]
mod application;
#[path = "../../../registry/tests/registry/distribution.rs"]
#[allow(dead_code)] // shared with tests that use all of it, as are those below
mod distribution;
#[path = "../../../docker/tests/docker/engines.rs"]
#[allow(dead_code)]
mod engines;
mod far;
mod faults;
mod kit;
#[path = "../../../docker/tests/docker/machine.rs"]
#[allow(dead_code)]
mod machine;
mod matrix;
mod moved;
#[path = "../../../docker/tests/docker/room.rs"]
#[allow(dead_code)]
mod room;
#[path = "../larder/s3.rs"]
mod s3;
mod verbs;
