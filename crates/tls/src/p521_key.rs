//! Keys of our own on the curve P-521, which `ring` cannot sign with.

use std::sync::Arc;

use p521::ecdsa::signature::hazmat::PrehashSigner as _;
use p521::ecdsa::{Signature, SigningKey};
use p521::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use ring::digest::{SHA512, digest};
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::Signer;
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP521_SHA512;

/// The key, if it is of this curve.
pub(crate) fn load(der: &PrivateKeyDer<'_>) -> Option<Arc<dyn rustls::sign::SigningKey>> {
    let secret = match der {
        PrivateKeyDer::Pkcs8(der) => p521::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Sec1(der) => p521::SecretKey::from_sec1_der(der.secret_sec1_der()).ok(),
        _ => None,
    };
    let secret = secret?;
    let public = secret.public_key().to_public_key_der().ok()?.into_vec();
    Some(Arc::new(Key {
        signing: Arc::new(SigningKey::from(secret)),
        public: public.into(),
    }))
}

/// Neither of both shows the secret.
#[derive(Debug)]
struct Key {
    signing: Arc<SigningKey>,
    public: SubjectPublicKeyInfoDer<'static>,
}

impl rustls::sign::SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = offered.contains(&SCHEME);
        is_offered.then(|| Box::new(Hand(Arc::clone(&self.signing))) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.clone())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

#[derive(Debug)]
struct Hand(Arc<SigningKey>);

impl Signer for Hand {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let hash = digest(&SHA512, message);
        let signed: Result<Signature, _> = self.0.sign_prehash(hash.as_ref());
        let signature = signed.map_err(|_| Error::General("the P-521 key signs nothing".into()))?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}
