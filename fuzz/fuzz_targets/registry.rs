//! Any bytes as what a registry answers: a challenge, a document's parts, a reference, a digest. Run with
//! `cargo +nightly fuzz run registry` from the root of the repository.

#![no_main]

use larder_model::identity::InheritedConfig;
use larder_model::oci::{Descriptor, Digest, RootFs};
use larder_model::reference::ImageReference;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/registry/src/http/challenge.rs"]
#[allow(dead_code)] // the client uses the rest
mod challenge;

fuzz_target!(|bytes: &[u8]| {
    let _descriptor = serde_json::from_slice::<Descriptor>(bytes).map(|it| it.digest());
    let _layers = serde_json::from_slice::<RootFs>(bytes);
    let _config = serde_json::from_slice::<InheritedConfig>(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _challenge = challenge::choose(text.split('\n'));
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(reference) = ImageReference::parse(text) {
        let shown = reference.to_string();
        assert_eq!(ImageReference::parse(&shown), Ok(reference));
    }
});
