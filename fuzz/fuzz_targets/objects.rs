//! Any bytes as an object of a store that is not JSON: see `decoders`. Run with
//! `cargo +nightly fuzz run objects` from the root of the repository.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/model/tests/it/decoders.rs"]
#[allow(dead_code)] // the other targets use the rest
mod decoders;

fuzz_target!(|bytes: &[u8]| decoders::check(bytes));
