//! Signatures of the curve P-521 (secp521r1), verified by the `p521` crate in plain Rust. `ring` has no
//! such curve, and the libraries that do are large and written in C.

use p521::ecdsa::signature::hazmat::PrehashVerifier as _;
use p521::ecdsa::{Signature, VerifyingKey};
use ring::digest::{self, digest};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

/// A number below the curve's order.
const NUMBER_BYTES: usize = 66;

pub(crate) static WITH_SHA256: &dyn SignatureVerificationAlgorithm = &P521 {
    hash: &digest::SHA256,
    signature: alg_id::ECDSA_SHA256,
};
pub(crate) static WITH_SHA384: &dyn SignatureVerificationAlgorithm = &P521 {
    hash: &digest::SHA384,
    signature: alg_id::ECDSA_SHA384,
};
pub(crate) static WITH_SHA512: &dyn SignatureVerificationAlgorithm = &P521 {
    hash: &digest::SHA512,
    signature: alg_id::ECDSA_SHA512,
};

#[derive(Debug)]
struct P521 {
    hash: &'static digest::Algorithm,
    signature: AlgorithmIdentifier,
}

impl SignatureVerificationAlgorithm for P521 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        // The hash is taken for a number, and is shorter than one.
        let hash = digest(self.hash, message);
        let mut number = [0; NUMBER_BYTES];
        number[NUMBER_BYTES - hash.as_ref().len()..].copy_from_slice(hash.as_ref());
        let verified = key.verify_prehash(&number, &signature);
        verified.map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}
