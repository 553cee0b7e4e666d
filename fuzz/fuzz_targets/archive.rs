//! Any bytes as a layer and as a recipe's part: see `rebuild`. Run with
//! `cargo +nightly fuzz run archive` from the root of the repository.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/model/tests/it/rebuild.rs"]
mod rebuild;

fuzz_target!(|bytes: &[u8]| rebuild::check(bytes));
