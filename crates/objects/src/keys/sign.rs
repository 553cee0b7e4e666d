//! The key that documents are signed with.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larder_model::signature::{PublicKey, Signature};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use super::KeyError;

pub(super) const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
const PEM_LINE_CHARS: usize = 64;

/// An Ed25519 private key, PKCS #8 (RFC 8410) in PEM: what `larder keygen` and `openssl genpkey -algorithm ed25519`
/// write. Another process can be given it; shown, it says its public half.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignKey {
    pem: String,
    public: PublicKey,
}

impl SignKey {
    /// Makes a key.
    pub fn generate() -> Result<Self, KeyError> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let der = made.map_err(|_| KeyError::NoRandom)?;
        let encoded = STANDARD.encode(der.as_ref());
        let mut pem = format!("{PEM_BEGIN}\n");
        for line in encoded.as_bytes().chunks(PEM_LINE_CHARS) {
            pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
            pem.push('\n');
        }
        pem.push_str(PEM_END);
        pem.push('\n');
        Self::from_pem(pem)
    }

    /// Reads a key.
    pub fn from_pem(pem: String) -> Result<Self, KeyError> {
        let bytes = key_pair(&pem)?.public_key().as_ref().try_into();
        let bytes: [u8; 32] = bytes.expect("an Ed25519 key has 32 bytes");
        let public = PublicKey::from_bytes(bytes);
        Ok(Self { pem, public })
    }

    /// The key as it is kept: a secret.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        let pair = key_pair(&self.pem).expect("it was read before");
        let bytes = pair.sign(message).as_ref().try_into();
        Signature {
            key: self.public,
            bytes: bytes.expect("an Ed25519 signature has 64 bytes"),
        }
    }
}

fn key_pair(pem: &str) -> Result<Ed25519KeyPair, KeyError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NoPem)?;
    // OpenSSL's form has no public half.
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
    pair.map_err(|error| KeyError::NotEd25519(error.to_string()))
}

impl TryFrom<String> for SignKey {
    type Error = KeyError;

    fn try_from(pem: String) -> Result<Self, KeyError> {
        Self::from_pem(pem)
    }
}

impl From<SignKey> for String {
    fn from(key: SignKey) -> Self {
        key.pem
    }
}

impl fmt::Debug for SignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the private half of {}", self.public)
    }
}
