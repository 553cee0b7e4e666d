//! Signatures that `ring` does not know, verified in plain Rust: those of the curve P-521 (secp521r1), which the
//! libraries that have it are large and written in C for, and those of P-256 and P-384 with SHA-512.

use p521::ecdsa::signature::hazmat::PrehashVerifier as _;
use ring::digest::{self, digest};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

pub(crate) static P521_WITH_SHA256: Algorithm = &Ecdsa {
    hash: &digest::SHA256,
    signature: alg_id::ECDSA_SHA256,
    ..P521
};
pub(crate) static P521_WITH_SHA384: Algorithm = &Ecdsa {
    hash: &digest::SHA384,
    signature: alg_id::ECDSA_SHA384,
    ..P521
};
pub(crate) static P521_WITH_SHA512: Algorithm = &P521;
pub(crate) static P384_WITH_SHA512: Algorithm = &Ecdsa {
    key: alg_id::ECDSA_P384,
    number_bytes: 48,
    verify: verify_p384,
    ..P521
};
pub(crate) static P256_WITH_SHA512: Algorithm = &Ecdsa {
    key: alg_id::ECDSA_P256,
    number_bytes: 32,
    verify: verify_p256,
    ..P521
};

const P521: Ecdsa = Ecdsa {
    key: alg_id::ECDSA_P521,
    number_bytes: 66,
    verify: verify_p521,
    hash: &digest::SHA512,
    signature: alg_id::ECDSA_SHA512,
};

/// Whether a key made, of a hash, a signature.
type Verify = fn(&[u8], &[u8], &[u8]) -> Option<()>;

#[derive(Debug)]
struct Ecdsa {
    key: AlgorithmIdentifier,
    /// Of a number below the curve's order.
    number_bytes: usize,
    verify: Verify,
    hash: &'static digest::Algorithm,
    signature: AlgorithmIdentifier,
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let hash = digest(self.hash, message);
        // It is taken for a number. One that is longer is cut by whoever verifies.
        let missing = self.number_bytes.saturating_sub(hash.as_ref().len());
        let number = [&vec![0; missing], hash.as_ref()].concat();
        (self.verify)(public_key, &number, signature).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

macro_rules! verify_on {
    ($name:ident, $curve:ident) => {
        fn $name(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
            let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
            let signature = $curve::ecdsa::Signature::from_der(signature).ok()?;
            key.verify_prehash(hash, &signature).ok()
        }
    };
}

verify_on!(verify_p256, p256);
verify_on!(verify_p384, p384);
verify_on!(verify_p521, p521);
