//! The digest by which engines name images and blobs.

use aws_lc_rs::digest::{SHA256, digest};
use larder_model::hex;

/// In lower-case hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes).as_ref())
}
