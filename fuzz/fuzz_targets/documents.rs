//! Any bytes as a document, with or without a signature, and as a name: see `decoders`. Run with
//! `cargo +nightly fuzz run documents` from the root of the repository.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/model/tests/it/decoders.rs"]
#[allow(dead_code)] // the other targets use the rest
mod decoders;

fuzz_target!(|bytes: &[u8]| decoders::check_text(bytes));
