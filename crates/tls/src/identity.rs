//! Who we are, where a server asks.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::TlsError;
use crate::certificate::facts;
use crate::provider::provider;

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// Of two PEM texts.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates).filter_map(Result::ok);
        let chain: Vec<_> = chain.collect();
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        let key = provider().key_provider.load_private_key(key);
        let certified = CertifiedKey::new(chain, key.map_err(TlsError::Key)?);
        // A key that is known not to be the certificate's; some cannot tell.
        match certified.keys_match() {
            Err(error @ rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                Err(TlsError::Key(error))
            }
            _ => Ok(Self(Arc::new(certified))),
        }
    }
}

/// Answers a server with the first identity that it can use (Go's `crypto/tls`,
/// `CertificateRequestInfo.SupportsCertificate`).
pub(crate) fn resolver(identities: Vec<Identity>) -> Arc<dyn ResolvesClientCert> {
    Arc::new(FirstThatFits(identities))
}

#[derive(Debug)]
struct FirstThatFits(Vec<Identity>);

impl ResolvesClientCert for FirstThatFits {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let mut identities = self.0.iter().map(|Identity(certified)| certified);
        let found = identities.find(|certified| {
            let mut issuers = certified
                .cert
                .iter()
                .filter_map(|der| Some(facts(der)?.issuer));
            let is_known = issuers.any(|issuer| authorities.contains(&issuer));
            (authorities.is_empty() || is_known) && certified.key.choose_scheme(schemes).is_some()
        });
        found.cloned()
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}
