//! Facts of the OCI image specification: digests, descriptors, and the layers of an image.
//!
//! Larder names its own objects by BLAKE3 ([`crate::digest`]); these digests exist where registries,
//! engines and image layouts demand them. Hashes come from the caller, who has SHA-256 at hand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::digest::serde_as_text;
use crate::hex;

/// How much of a text that is no digest is repeated in an error, in characters.
const SHOWN_CHARS_MAX: usize = 160;

/// A content digest: `sha256:` and 64 lower-case hexadecimal digits, or the like (`descriptor.md`,
/// "Digests"). The algorithms are those that opencontainers/go-digest can verify (`algorithm.go`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// The algorithm that every registry uses by default.
    Sha256([u8; 32]),
    /// Known to go-digest, and hardly used.
    Sha384([u8; 48]),
    /// The other algorithm that registries must support.
    Sha512([u8; 64]),
}

/// A text that is not a digest of an algorithm that can be verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest: {reason}")]
pub struct DigestError {
    text: String,
    reason: &'static str,
}

impl DigestError {
    fn new(text: &str, reason: &'static str) -> Self {
        let text = text.chars().take(SHOWN_CHARS_MAX).collect();
        Self { text, reason }
    }

    /// What is wrong, for a message that names the text already.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl Digest {
    /// `sha256`, `sha384` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        self.parts().0
    }

    /// The hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex::encode(self.parts().1)
    }

    fn parts(&self) -> (&'static str, &[u8]) {
        match self {
            Self::Sha256(hash) => ("sha256", hash),
            Self::Sha384(hash) => ("sha384", hash),
            Self::Sha512(hash) => ("sha512", hash),
        }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, digits) = text
            .split_once(':')
            .ok_or_else(|| DigestError::new(text, "the digest has no algorithm"))?;
        let digest = match algorithm {
            "sha256" => hex::decode(digits).map(Self::Sha256),
            "sha384" => hex::decode(digits).map(Self::Sha384),
            "sha512" => hex::decode(digits).map(Self::Sha512),
            _ => {
                let reason = "the digest's algorithm is not sha256, sha384 or sha512";
                return Err(DigestError::new(text, reason));
            }
        };
        digest.ok_or_else(|| {
            let reason = "the digest is not that many lower-case hexadecimal digits";
            DigestError::new(text, reason)
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (algorithm, hash) = self.parts();
        write!(f, "{algorithm}:")?;
        hex::write(hash, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

serde_as_text! { Digest }

/// What names a blob in an index or a manifest (`descriptor.md`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is; older writers leave it out.
    #[serde(default)]
    pub media_type: String,
    /// The length of the blob in bytes.
    pub size: u64,
    digest: String,
}

impl Descriptor {
    /// The digest of the blob. It is checked only here: an index may list images of other platforms
    /// by algorithms that are not known, and nobody asks for those.
    pub fn digest(&self) -> Result<Digest, DigestError> {
        self.digest.parse()
    }
}

/// The layers that an image's configuration lists (`config.md`, `rootfs`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RootFs {
    /// The digests of the unpacked layers, lowest first. An image without layers has an empty list,
    /// `null` (Go's nil slice) or none.
    #[serde(default, deserialize_with = "list_or_null")]
    pub diff_ids: Vec<Digest>,
}

fn list_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Digest>, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// SHA-256.
pub type Sha256 = fn(&[u8]) -> [u8; 32];

/// The chain id of each layer, which names it together with all below it (`config.md`, "Layer
/// `ChainID`").
pub fn chain_ids(diff_ids: &[Digest], sha256: Sha256) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chains.push(match chains.last() {
            None => *diff_id,
            Some(below) => Digest::Sha256(sha256(format!("{below} {diff_id}").as_bytes())),
        });
    }
    chains
}

/// The chain id of all layers together; an image without layers has none.
pub fn chain_id(diff_ids: &[Digest], sha256: Sha256) -> Option<Digest> {
    chain_ids(diff_ids, sha256).pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(algorithm: &str, digits: usize) -> String {
        format!("{algorithm}:{}", "0a".repeat(digits / 2))
    }

    #[test]
    fn a_digest_reads_back_from_its_text_and_from_json() {
        for text in [
            digest("sha256", 64),
            digest("sha384", 96),
            digest("sha512", 128),
        ] {
            let read: Digest = text.parse().expect("in form");
            assert_eq!(read.to_string(), text);
            assert_eq!(format!("{}:{}", read.algorithm(), read.hex()), text);
            let json = serde_json::to_string(&read).expect("a text");
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Digest>(&json).expect("a text"), read);
        }
    }

    #[test]
    fn digests_are_ordered_as_their_texts() {
        let mut texts = [
            digest("sha512", 128),
            format!("sha256:{}", "f".repeat(64)),
            format!("sha256:a{}", "0".repeat(63)),
            format!("sha256:9{}", "f".repeat(63)),
            digest("sha384", 96),
        ];
        let mut digests = texts
            .clone()
            .map(|text| text.parse::<Digest>().expect("valid"));
        texts.sort();
        digests.sort();
        assert_eq!(digests.map(|digest| digest.to_string()), texts);
    }

    #[test]
    fn other_texts_are_refused() {
        let digits = "a".repeat(64);
        for text in [
            String::new(),
            digits.clone(),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{digits}0"),
            format!("sha512:{digits}"),
            format!("md5:{digits}"),
            format!("sha256:../{}", "a".repeat(61)),
            format!("sha256:{}", "é".repeat(32)),
        ] {
            let error = text.parse::<Digest>().expect_err("no digest");
            assert!(error.to_string().contains("is not a digest"), "{error}");
        }
    }

    #[test]
    fn descriptors_and_layers_are_read() {
        let json = format!(
            r#"{{"mediaType":"a/b","digest":"{}","size":7,"x":1}}"#,
            digest("sha256", 64)
        );
        let descriptor: Descriptor = serde_json::from_str(&json).expect("valid");
        assert_eq!(
            (descriptor.media_type.as_str(), descriptor.size),
            ("a/b", 7)
        );
        let digest = descriptor.digest().expect("valid");
        assert_eq!(digest.to_string(), format!("sha256:{}", "0a".repeat(32)));
        let unknown: Descriptor =
            serde_json::from_str(r#"{"digest":"blake3:00","size":0}"#).expect("valid");
        unknown
            .digest()
            .expect_err("an algorithm that is not known");
        for none in [
            "{}",
            r#"{"diff_ids":null}"#,
            r#"{"diff_ids":[],"type":"layers"}"#,
        ] {
            let layers: RootFs = serde_json::from_str(none).expect("valid");
            assert_eq!(layers, RootFs::default());
        }
        serde_json::from_str::<RootFs>(r#"{"diff_ids":["sha256:short"]}"#).expect_err("no digest");
    }

    #[test]
    fn a_chain_id_names_a_layer_and_all_below_it() {
        // The composition does not depend on the hash: BLAKE3 has as many bytes and is at hand.
        let hash: Sha256 = |bytes| *blake3::hash(bytes).as_bytes();
        let [a, b, c] = [1, 2, 3].map(|byte| Digest::Sha256([byte; 32]));
        let ab = Digest::Sha256(hash(format!("{a} {b}").as_bytes()));
        let abc = Digest::Sha256(hash(format!("{ab} {c}").as_bytes()));
        assert_eq!(chain_ids(&[a, b, c], hash), [a, ab, abc]);
        assert_eq!(chain_id(&[a, b, c], hash), Some(abc));
        assert_eq!(chain_id(&[], hash), None);
    }
}
