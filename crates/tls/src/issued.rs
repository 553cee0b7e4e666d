//! A server's certificate that says that it is an authority's, signed by one that is trusted. Scripts make such by
//! signing with an authority's extensions; Go takes them (`crypto/x509`, `Certificate.Verify`), `webpki` does not.
//!
//! Only what an authority of ours has signed itself counts, and only one whose names are not restricted.

use rustls::pki_types::TrustAnchor;
use rustls::{CertificateError, Error};

use crate::certificate::{Parts, parts, public_key};
use crate::provider::provider;

/// Purposes of which one must be there if any is: `serverAuth` and `anyExtendedKeyUsage` (RFC 5280, section
/// 4.2.1.12).
const PURPOSES: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 3, 1], &[0x55, 0x1d, 0x25, 0]];

/// Whether that is what `webpki` has against a certificate, or its purposes, of which it does not know "any".
pub(crate) fn is_refused(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(why)) => {
            why.to_string() == "CaUsedAsEndEntity"
        }
        Error::InvalidCertificate(why) => matches!(
            why,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
        ),
        _ => false,
    }
}

/// Whether a certificate may be a server's.
pub(crate) fn check_purposes(certificate: &[u8]) -> Result<Parts<'_>, Error> {
    let parts = parts(certificate).ok_or(CertificateError::BadEncoding)?;
    let mut purposes = parts.purposes.iter();
    if parts.purposes.is_empty() || purposes.any(|purpose| PURPOSES.contains(purpose)) {
        return Ok(parts);
    }
    Err(CertificateError::InvalidPurpose.into())
}

/// Whether one of these authorities has signed a certificate for a server.
pub(crate) fn by_one_of(anchors: &[TrustAnchor<'_>], certificate: &[u8]) -> Result<(), Error> {
    let parts = check_purposes(certificate)?;
    let mut issuers = anchors.iter().filter(|anchor| {
        anchor.subject.as_ref() == parts.issuer && anchor.name_constraints.is_none()
    });
    let is_signed = issuers.any(|anchor| signed(&parts, &anchor.subject_public_key_info));
    is_signed
        .then_some(())
        .ok_or_else(|| CertificateError::UnknownIssuer.into())
}

/// Whether this key has signed it.
fn signed(parts: &Parts<'_>, key: &[u8]) -> bool {
    let Some((kind, key)) = public_key(key) else {
        return false;
    };
    let algorithms = provider().signature_verification_algorithms.all;
    let mut fitting = algorithms.iter().filter(|algorithm| {
        algorithm.public_key_alg_id().as_ref() == kind
            && algorithm.signature_alg_id().as_ref() == parts.algorithm
    });
    fitting.any(|algorithm| {
        let verified = algorithm.verify_signature(key, parts.signed, parts.signature);
        verified.is_ok()
    })
}
