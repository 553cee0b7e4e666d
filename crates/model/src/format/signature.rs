//! Signatures: who vouches for a document or a mark, and for whom that counts.
//!
//! # Data format
//!
//! A signed object is JSON whose last member is its signature, in just this form:
//!
//! ```text
//! …,"signature":"ed25519:<public key, 64 digits>:<signature, 128 digits>"}
//! ```
//!
//! and a line feed. What is signed (RFC 8032, Ed25519) is the text `larder `, what the object is (`snapshot`,
//! `archive`, `mark`), a line feed, and all bytes of the object before that comma. A document names its lineage and
//! its time, and a reader compares both with its path: so a signature holds for one place. The member has one length
//! and stands last, so nobody has to agree on how JSON is written. Readers that know no signatures ignore it, as
//! any other field.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::serde_as_text;
use crate::hex;

const BEFORE_KEY: &[u8] = b",\"signature\":\"ed25519:";
const AFTER_SIGNATURE: &[u8] = b"\"}\n";
/// What every object ends with, and what the signature stands before.
const END: &[u8] = b"}\n";
const SCHEME: &str = "ed25519:";

/// Who signs: the public half of an Ed25519 key. As text `ed25519:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PublicKey([u8; 32]);

/// A text that is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no public key; it is ed25519: and 64 lower-case hexadecimal digits, as `larder keygen` prints it"
)]
pub struct PublicKeyError(String);

impl PublicKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        hex::write(&self.0, f)
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let bytes = text.strip_prefix(SCHEME).and_then(hex::decode);
        bytes
            .map(Self)
            .ok_or_else(|| PublicKeyError(text.to_owned()))
    }
}

serde_as_text! { PublicKey }

/// What an object says of who signed it. That is not yet verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Who is said to have signed it.
    pub key: PublicKey,
    /// The signature itself.
    pub bytes: [u8; 64],
}

/// What is signed of an object that `object` names, without its signature.
pub fn message(object: &str, unsigned: &[u8]) -> Vec<u8> {
    let body = unsigned.strip_suffix(END).unwrap_or(unsigned);
    [b"larder ", object.as_bytes(), b"\n", body].concat()
}

/// An object with its signature.
pub fn sign(unsigned: &[u8], signature: &Signature) -> Vec<u8> {
    let body = unsigned.strip_suffix(END).unwrap_or(unsigned);
    let key = hex::encode(&signature.key.0);
    let bytes = hex::encode(&signature.bytes);
    let parts = [
        body,
        BEFORE_KEY,
        key.as_bytes(),
        b":",
        bytes.as_bytes(),
        AFTER_SIGNATURE,
    ];
    parts.concat()
}

/// Takes an object apart: what is signed of it, and its signature; `None` if it has none.
pub fn split<'a>(object: &str, bytes: &'a [u8]) -> Option<(Vec<u8>, Signature)> {
    let body: &'a [u8] = bytes.strip_suffix(AFTER_SIGNATURE)?;
    let (body, signature) = body.split_last_chunk::<128>()?;
    let body = body.strip_suffix(b":")?;
    let (body, key) = body.split_last_chunk::<64>()?;
    let body = body.strip_suffix(BEFORE_KEY)?;
    let signature = Signature {
        key: PublicKey(digits(key)?),
        bytes: digits(signature)?,
    };
    Some((message(object, body), signature))
}

fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    hex::decode(std::str::from_utf8(text).ok()?)
}

/// Whose signatures count. Without any key everything counts, signed or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust(Vec<Trusted>);

/// A key, and in which scopes it counts. As text `KEY`, `SCOPE=KEY`, or `KIND/=KEY` for all scopes of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    scope: Option<String>,
    key: PublicKey,
}

impl Trust {
    /// Those whose signatures count.
    pub fn new(trusted: Vec<Trusted>) -> Self {
        Self(trusted)
    }

    /// Whether anything counts.
    pub fn is_anybody(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what this key signed counts in a scope.
    pub fn covers(&self, key: PublicKey, scope: &str) -> bool {
        let mut of_key = self.0.iter().filter(|trusted| trusted.key == key);
        of_key.any(|trusted| trusted.counts_in(scope))
    }
}

impl Trusted {
    fn counts_in(&self, scope: &str) -> bool {
        self.scope
            .as_deref()
            .is_none_or(|own| own == scope || (own.ends_with('/') && scope.starts_with(own)))
    }
}

impl FromStr for Trusted {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        // A key has no `=`; a scope may have.
        let (scope, key) = match text.rsplit_once('=') {
            Some((scope, key)) => (Some(scope.to_owned()), key),
            None => (None, text),
        };
        Ok(Self {
            scope,
            key: key.parse()?,
        })
    }
}

impl fmt::Display for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scope) = &self.scope {
            write!(f, "{scope}=")?;
        }
        self.key.fmt(f)
    }
}

serde_as_text! { Trusted }

#[cfg(test)]
mod tests {
    use super::*;

    const UNSIGNED: &[u8] = b"{\"format\":1,\"why\":\"x\"}\n";

    fn signature() -> Signature {
        Signature {
            key: PublicKey([7; 32]),
            bytes: [9; 64],
        }
    }

    #[test]
    fn a_signed_object_is_still_json() {
        let signed = sign(UNSIGNED, &signature());
        let text = String::from_utf8(signed.clone()).expect("text");
        let (key, bytes) = ("07".repeat(32), "09".repeat(64));
        let expected =
            format!("{{\"format\":1,\"why\":\"x\",\"signature\":\"ed25519:{key}:{bytes}\"}}\n");
        assert_eq!(text, expected);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        let signed_text = b"larder mark\n{\"format\":1,\"why\":\"x\"".to_vec();
        assert_eq!(
            split("mark", &signed),
            Some((signed_text.clone(), signature()))
        );
        assert_eq!(message("mark", UNSIGNED), signed_text);
    }

    #[test]
    fn what_has_another_form_is_not_signed() {
        let signed = sign(UNSIGNED, &signature());
        assert_eq!(split("mark", UNSIGNED), None);
        for cut in 1..signed.len() {
            assert_eq!(split("mark", &signed[..signed.len() - cut]), None, "{cut}");
        }
        // A field of that name elsewhere signs nothing.
        let inside = b"{\"signature\":\"ed25519:00:00\",\"a\":1}\n";
        assert_eq!(split("mark", inside), None);
    }

    #[test]
    fn a_key_counts_in_its_scopes() {
        let (main, pulls) = (PublicKey([1; 32]), PublicKey([2; 32]));
        let texts = [format!("branch/a=b={main}"), format!("pull/={pulls}")];
        let trusted = texts.iter().map(|text| text.parse().expect("trusted"));
        let trust = Trust::new(trusted.collect());
        assert!(trust.covers(main, "branch/a=b"));
        assert!(!trust.covers(main, "branch/a=b/c") && !trust.covers(main, "pull/7"));
        assert!(trust.covers(pulls, "pull/7") && !trust.covers(pulls, "branch/pull/7"));
        let everywhere = Trust::new(vec![main.to_string().parse().expect("a key")]);
        assert!(everywhere.covers(main, "pull/7") && !everywhere.covers(pulls, "pull/7"));
        let json = serde_json::to_string(&trust).expect("JSON");
        assert_eq!(serde_json::from_str::<Trust>(&json).expect("read"), trust);
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in [
            "",
            "ed25519:",
            "ed25519:00",
            "main=",
            &format!("x:{}", "00".repeat(32)),
        ] {
            let error = text.parse::<Trusted>().expect_err(text).to_string();
            assert!(error.contains("keygen"), "{error}");
        }
    }
}
