//! The digest by which engines name images and blobs.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

/// The SHA-256 digest of `bytes`, in lower-case hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest(&SHA256, bytes).as_ref() {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}
