//! Fingerprints: what plans are compared by without holding it.

use serde::Serialize;

use crate::digest::digest_type;

digest_type! {
    /// A BLAKE3 hash of something that is compared but not shown: a file, an argument's value.
    Fingerprint
}

impl Fingerprint {
    /// The fingerprint of a file's bytes: their BLAKE3 hash.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The fingerprint of a build argument's value. The name goes in, so that two arguments with
    /// one value do not show it.
    pub(crate) fn of_argument(name: &str, value: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("larder plan v1 build argument");
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
        hasher.update(value.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The hash of a value's JSON, told apart from those of others by its context.
    pub(crate) fn derived(context: &str, material: &impl Serialize) -> Self {
        let json = serde_json::to_vec(material).expect(
            "what is compared is made of texts, numbers and maps with text keys, which JSON can hold",
        );
        Self(blake3::derive_key(context, &json))
    }
}
