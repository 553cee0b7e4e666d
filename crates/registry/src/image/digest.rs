//! Contents by their digest ([`larder_model::oci`]): the hashes, which are AWS-LC's.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512};
use larder_model::oci::Digest;

/// The SHA-256 digest of these bytes, the algorithm that every registry uses by default.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::Sha256(hash_sha256(bytes))
}

pub(crate) fn hash_sha256(bytes: &[u8]) -> [u8; 32] {
    hash(&SHA256, bytes)
}

/// The digest of these bytes by the algorithm of another.
pub(crate) fn of_same_kind(other: &Digest, bytes: &[u8]) -> Digest {
    match other {
        Digest::Sha256(_) => sha256(bytes),
        Digest::Sha384(_) => Digest::Sha384(hash(&SHA384, bytes)),
        Digest::Sha512(_) => Digest::Sha512(hash(&SHA512, bytes)),
    }
}

/// Whether these bytes are what the digest names.
pub(crate) fn names(digest: &Digest, bytes: &[u8]) -> bool {
    of_same_kind(digest, bytes) == *digest
}

fn hash<const N: usize>(algorithm: &'static Algorithm, bytes: &[u8]) -> [u8; N] {
    let hash = aws_lc_rs::digest::digest(algorithm, bytes);
    hash.as_ref()
        .try_into()
        .expect("each algorithm has the length of its digest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_every_algorithm() {
        // FIPS 180-4 example vectors for "abc".
        for (digits, expected) in [
            (
                64,
                "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                96,
                "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163",
            ),
            (
                128,
                "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2",
            ),
        ] {
            let algorithm = expected.split_once(':').expect("an algorithm").0;
            let other = format!("{algorithm}:{}", "0".repeat(digits));
            let other: Digest = other.parse().expect("in form");
            let digest = of_same_kind(&other, b"abc");
            assert!(digest.to_string().starts_with(expected), "{digest}");
            assert!(names(&digest, b"abc") && !names(&other, b"abc"));
        }
    }
}
