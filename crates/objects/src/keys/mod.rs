//! Keys: what we sign with, whose signatures we believe ([`larder_model::signature`]), and what a store is sealed
//! with ([`larder_model::sealed`]).

mod encrypt;
mod heads;
mod sealer;
mod sign;

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use larder_model::signature::{self, Trust};
use serde::{Deserialize, Serialize};

use self::encrypt::ENCRYPT_BEGIN;
pub use self::encrypt::EncryptKey;
pub(crate) use self::heads::Heads;
pub(crate) use self::sealer::{DataKey, Sealer, has_last};
use self::sign::PEM_BEGIN;
pub use self::sign::SignKey;
use crate::error::StoreError;

/// Why a key cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// It is not PEM.
    #[error("it is no private key in PEM ({PEM_BEGIN}); make one with `larder keygen`")]
    NoPem,
    /// It is the key of another algorithm, or damaged.
    #[error("it is no Ed25519 key ({0}); make one with `larder keygen`")]
    NotEd25519(String),
    /// It is no key that encrypts.
    #[error(
        "it is no encryption key ({ENCRYPT_BEGIN} and 64 digits); make one with `larder keygen --encrypt`"
    )]
    NotEncryption,
    /// This machine gives no random bytes.
    #[error("the machine gives no random bytes")]
    NoRandom,
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| KeyError::NoRandom)
}

/// How a store's documents are signed and believed, and sealed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Keys {
    /// What is published is signed with this.
    pub sign: Option<SignKey>,
    /// Whose documents and marks count.
    pub trust: Trust,
    /// How old a document may be that is restored. Who may delete from a store can bring an old one back.
    pub max_age: Option<Duration>,
    /// What is in the store is sealed with this.
    pub encrypt: Option<EncryptKey>,
}

impl Keys {
    /// The bytes of an object as they are stored.
    pub fn signed(&self, object: &str, unsigned: Vec<u8>) -> Vec<u8> {
        let Some(key) = &self.sign else {
            return unsigned;
        };
        let signature = key.sign(&signature::message(object, &unsigned));
        signature::sign(&unsigned, &signature)
    }

    /// Whether an object that was made for a scope counts.
    pub fn check(
        &self,
        object: &'static str,
        path: &str,
        scope: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        if self.trust.is_anybody() {
            return Ok(());
        }
        let distrusted = |why: String| StoreError::Untrusted {
            path: path.to_owned(),
            why,
        };
        let Some((message, signature)) = signature::split(object, bytes) else {
            return Err(distrusted("it is not signed".to_owned()));
        };
        let key = signature.key;
        if !self.trust.covers(key, scope) {
            let why = format!("it is signed by {key}, which --trust does not name for {scope}");
            return Err(distrusted(why));
        }
        UnparsedPublicKey::new(&ED25519, key.as_bytes())
            .verify(&message, &signature.bytes)
            .map_err(|_| distrusted(format!("its signature is not that of {key}")))
    }

    /// Whether a document made at this time (Unix, in milliseconds) is too old to be restored.
    pub fn is_too_old(&self, created_ms: u64, now_ms: u64) -> bool {
        let age = Duration::from_millis(now_ms.saturating_sub(created_ms));
        self.max_age.is_some_and(|limit| age > limit)
    }
}

#[cfg(test)]
mod tests {
    use larder_model::signature::PublicKey;

    use super::*;

    const UNSIGNED: &[u8] = b"{\"format\":1}\n";

    fn trusting(key: PublicKey) -> Keys {
        let trusted = key.to_string().parse().expect("a key");
        Keys {
            trust: Trust::new(vec![trusted]),
            ..Keys::default()
        }
    }

    #[test]
    fn a_key_survives_its_file() {
        let key = SignKey::generate().expect("made");
        let read = SignKey::from_pem(key.pem().to_owned()).expect("read");
        assert_eq!(read.public(), key.public());
        assert!(!format!("{key:?}").contains(&key.pem()[40..60]));
    }

    #[test]
    fn what_openssl_writes_is_read() {
        // `openssl genpkey -algorithm ed25519`, and what `openssl pkey -pubout` says of it.
        let pem = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
            -----END PRIVATE KEY-----\n";
        let key = SignKey::from_pem(pem.to_owned()).expect("RFC 8032, section 7.1, test 1");
        let expected = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(key.public().to_string(), expected);
        for other in [
            "",
            "ed25519:00",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let error = SignKey::from_pem(other.to_owned()).expect_err(other);
            assert!(error.to_string().contains("keygen"), "{error}");
        }
    }

    fn check(keys: &Keys, object: &'static str, bytes: &[u8]) -> Result<(), String> {
        let checked = keys.check(object, "v1/x", "branch/main", bytes);
        checked.map_err(|error| error.to_string())
    }

    fn said(keys: &Keys, object: &'static str, bytes: &[u8]) -> String {
        check(keys, object, bytes).expect_err("not trusted")
    }

    #[test]
    fn only_what_a_trusted_key_signed_counts() {
        let key = SignKey::generate().expect("made");
        let other = SignKey::generate().expect("made");
        let ours = Keys {
            sign: Some(key.clone()),
            ..Keys::default()
        };
        let signed = ours.signed("snapshot", UNSIGNED.to_vec());
        let trust = trusting(key.public());
        assert_eq!(check(&trust, "snapshot", &signed), Ok(()));
        assert_eq!(check(&Keys::default(), "snapshot", UNSIGNED), Ok(()));
        assert!(said(&trust, "snapshot", UNSIGNED).contains("not signed"));
        assert!(said(&trusting(other.public()), "snapshot", &signed).contains("does not name"));
        assert!(said(&trust, "archive", &signed).contains("is not that of"));
        for at in 0..signed.len() {
            let mut broken = signed.clone();
            broken[at] ^= 1;
            said(&trust, "snapshot", &broken);
        }
    }

    #[test]
    fn age_is_bounded_where_it_was_asked_for() {
        let keys = Keys {
            max_age: Some(Duration::from_secs(10)),
            ..Keys::default()
        };
        assert!(keys.is_too_old(1_000, 11_001) && !keys.is_too_old(1_000, 11_000));
        assert!(!keys.is_too_old(20_000, 11_000) && !Keys::default().is_too_old(0, u64::MAX));
    }
}
