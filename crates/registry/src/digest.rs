//! Digests of the OCI image specification: `sha256:<hex>` and `sha512:<hex>`.
//!
//! Larder names its own objects by BLAKE3; these digests exist only where a registry demands them.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, SHA512};
use serde::{Deserialize, Serialize};

/// A text that is not a digest of an algorithm that registries must support.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a digest: expected `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits"
)]
pub struct DigestError(String);

/// A content digest, valid in form (OCI image specification, `descriptor.md`, "Digests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The SHA-256 digest of these bytes, the algorithm that every registry uses by default.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(format!(
            "sha256:{}",
            hex(ring::digest::digest(&SHA256, bytes).as_ref())
        ))
    }

    /// The digest of these bytes by the algorithm of this one.
    #[must_use]
    pub fn of_same_kind(&self, bytes: &[u8]) -> Self {
        match self.algorithm() {
            "sha512" => Self(format!(
                "sha512:{}",
                hex(ring::digest::digest(&SHA512, bytes).as_ref())
            )),
            _ => Self::sha256(bytes),
        }
    }

    /// Whether these bytes are what the digest names.
    pub fn names(&self, bytes: &[u8]) -> bool {
        self.of_same_kind(bytes) == *self
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.parts().0
    }

    /// The hexadecimal digits.
    pub fn hex(&self) -> &str {
        self.parts().1
    }

    /// `sha256:<hex>`, as in every document of a registry.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        self.0
            .split_once(':')
            .expect("a digest holds a colon: checked when it was made")
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = match text.split_once(':') {
            Some(("sha256", hex)) if hex.len() == 64 => hex,
            Some(("sha512", hex)) if hex.len() == 128 => hex,
            _ => return Err(DigestError(text.chars().take(160).collect())),
        };
        if digits
            .bytes()
            .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Ok(Self(text.to_owned()));
        }
        Err(DigestError(text.chars().take(160).collect()))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_both_algorithms() {
        // FIPS 180-4 example vectors for "abc".
        let short = Digest::sha256(b"abc");
        assert_eq!(
            short.as_str(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let long: Digest = format!("sha512:{}", "0".repeat(128))
            .parse()
            .expect("in form");
        assert!(
            long.of_same_kind(b"abc")
                .hex()
                .starts_with("ddaf35a193617abacc417349")
        );
        assert!(long.of_same_kind(b"abc").names(b"abc"));
        assert!(!long.names(b"abc"));
    }

    #[test]
    fn other_texts_are_refused() {
        let hex = "a".repeat(64);
        for text in [
            String::new(),
            hex.clone(),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{hex}0"),
            format!("sha512:{hex}"),
            format!("md5:{hex}"),
            format!("sha256:../{}", "a".repeat(61)),
            format!("sha256:{}", "é".repeat(32)),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
