//! Any bytes as what a registry answers: a challenge, and what `decoders` tries. Run with
//! `cargo +nightly fuzz run registry` from the root of the repository.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/registry/src/http/challenge.rs"]
#[allow(dead_code)] // the client uses the rest
mod challenge;
#[path = "../../crates/model/tests/it/decoders.rs"]
#[allow(dead_code)] // the other targets use the rest
mod decoders;

fuzz_target!(|bytes: &[u8]| {
    decoders::check_answer(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _challenge = challenge::choose(text.split('\n'));
    }
});
