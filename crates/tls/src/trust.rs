//! Whom a connection trusts.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::TlsError;
use crate::certificate::facts;
use crate::provider::provider;

/// Certificates that are trusted, of authorities or of servers themselves.
#[derive(Debug, Clone, Default)]
pub struct Authorities(HashSet<CertificateDer<'static>>);

impl Authorities {
    /// Those that Mozilla trusts, as they were when this program was built.
    pub fn built_in() -> Self {
        let all = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        Self(all.cloned().collect())
    }

    /// Adds the certificates of a PEM text. One that cannot be read takes no other along, as for Go
    /// (`crypto/x509`, `AppendCertsFromPEM`): bundles hold a hundred of them, and we need one. Says how
    /// many were added.
    pub fn add_pem(&mut self, bundle: &[u8]) -> usize {
        let read = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
        let usable = read.filter(|der| RootCertStore::empty().add(der.clone()).is_ok());
        let before = self.0.len();
        self.0.extend(usable);
        self.0.len() - before
    }

    pub(crate) fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.0.iter().cloned());
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        Ok(Arc::new(LikeGo {
            usual: usual.build().map_err(|_| TlsError::NoAuthority)?,
            trusted: self.0.clone(),
        }))
    }
}

/// Takes what `webpki` takes, and a server's certificate that is itself among those that are trusted,
/// whether it says that it is an authority's or not (Go's `crypto/x509`, `Certificate.Verify`).
#[derive(Debug)]
struct LikeGo {
    usual: Arc<WebPkiServerVerifier>,
    trusted: HashSet<CertificateDer<'static>>,
}

impl ServerCertVerifier for LikeGo {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .usual
            .verify_server_cert(end_entity, intermediates, name, ocsp, now);
        verified.or_else(|error| {
            if self.trusted.contains(end_entity) {
                verify_trusted(end_entity, name, now)
            } else {
                Err(error)
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Of a certificate that is trusted itself, its name and its time are left to be checked.
fn verify_trusted(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    let facts = facts(certificate).ok_or(CertificateError::BadEncoding)?;
    match (now.as_secs() < facts.valid.0, now.as_secs() > facts.valid.1) {
        (false, false) => Ok(ServerCertVerified::assertion()),
        (true, _) => Err(CertificateError::NotValidYet.into()),
        (_, true) => Err(CertificateError::Expired.into()),
    }
}

/// Takes any server. Whether it holds the key of a certificate that anybody can make is not asked.
#[derive(Debug)]
pub(crate) struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
