//! Whom a connection trusts.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::certificate::{facts, parts};
use crate::issued;
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
        let before = self.0.len();
        for der in CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok) {
            if !self.0.contains(&der) && RootCertStore::empty().add(der.clone()).is_ok() {
                self.0.insert(der);
            }
        }
        self.0.len() - before
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Authorities that are put together when somebody needs them, once for all connections: a machine has hundreds, and
/// reading them takes as long as many an answer. Plain HTTP needs none.
#[derive(Clone)]
pub struct LazyAuthorities(Arc<LazyLock<Trust, Box<dyn FnOnce() -> Trust + Send>>>);

/// What is made of authorities.
struct Trust {
    all: Authorities,
    /// `None` if there is no authority among them.
    usual: OnceLock<Option<Usual>>,
}

/// `webpki`'s verifier, and whom it trusts.
struct Usual {
    verifier: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
}

impl Trust {
    fn usual(&self) -> Option<&Usual> {
        let usual = self.usual.get_or_init(|| Usual::of(&self.all));
        usual.as_ref()
    }
}

impl Usual {
    fn of(authorities: &Authorities) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        // One that is a server's own signs for nobody (`CheckSignatureFrom`); `webpki` does not look.
        let all = authorities.0.iter();
        let signers = all.filter(|der| parts(der).is_some_and(|it| it.is_authority));
        roots.add_parsable_certificates(signers.cloned());
        let roots = Arc::new(roots);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider());
        let verifier = verifier.build().ok()?;
        Some(Self { verifier, roots })
    }
}

impl LazyAuthorities {
    /// Those that a function puts together.
    pub fn new(make: impl FnOnce() -> Authorities + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(move || Trust {
            all: make(),
            usual: OnceLock::new(),
        }))))
    }

    /// These, and those of PEM texts.
    #[must_use]
    pub fn with(&self, bundles: Vec<Vec<u8>>) -> Self {
        if bundles.is_empty() {
            return self.clone();
        }
        let these = self.clone();
        Self::new(move || {
            let mut all = these.0.all.clone();
            for bundle in &bundles {
                all.add_pem(bundle);
            }
            all
        })
    }
}

impl Default for LazyAuthorities {
    fn default() -> Self {
        Self::new(Authorities::built_in)
    }
}

impl From<Authorities> for LazyAuthorities {
    fn from(authorities: Authorities) -> Self {
        Self::new(move || authorities)
    }
}

impl fmt::Debug for LazyAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LazyAuthorities")
    }
}

/// Takes what `webpki` takes, and a server's certificate that is itself among those that are trusted or signed by
/// one of them, whether it says that it is an authority's or not (Go's `crypto/x509`, `Certificate.Verify`).
#[derive(Debug)]
pub(crate) struct LikeGo(pub(crate) LazyAuthorities);

impl ServerCertVerifier for LikeGo {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = match self.0.0.usual() {
            // Its name is checked last.
            Some(usual) => usual
                .verifier
                .verify_server_cert(end_entity, intermediates, name, ocsp, now)
                .map(drop)
                .or_else(|error| {
                    if !issued::is_refused(&error) {
                        return Err(error);
                    }
                    issued::by_one_of(&usual.roots.roots, end_entity)?;
                    verify_trusted(end_entity, name, now)
                }),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        let verified = or_by_short_wildcard(verified, name).or_else(|error| {
            if self.0.0.all.0.contains(end_entity) {
                verify_trusted(end_entity, name, now)
            } else {
                Err(error)
            }
        });
        verified.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Takes `*.local` for `registry.local`: `webpki` wants two labels behind the star, Go one (`crypto/x509`,
/// `matchHostnames`). Only a name that was the last thing to be wrong is looked at.
fn or_by_short_wildcard(verified: Result<(), Error>, name: &ServerName<'_>) -> Result<(), Error> {
    let Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
        presented, ..
    })) = &verified
    else {
        return verified;
    };
    let ServerName::DnsName(name) = name else {
        return verified;
    };
    let labels = name.as_ref().split_once('.');
    let top = labels.filter(|(_, top)| !top.is_empty() && !top.contains('.'));
    let wildcard = top.map(|(_, top)| format!("DnsName(\"*.{top}\")"));
    let is_there = wildcard.is_some_and(|wildcard| {
        let mut names = presented.iter();
        names.any(|presented| presented.eq_ignore_ascii_case(&wildcard))
    });
    if is_there { Ok(()) } else { verified }
}

/// Of a certificate that is trusted, its name, its purposes and its time are left to be checked.
fn verify_trusted(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    let named = verify_server_name(&ParsedCertificate::try_from(certificate)?, name);
    or_by_short_wildcard(named, name)?;
    issued::check_purposes(certificate)?;
    let facts = facts(certificate).ok_or(CertificateError::BadEncoding)?;
    match (now.as_secs() < facts.valid.0, now.as_secs() > facts.valid.1) {
        (false, false) => Ok(()),
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
