//! The cryptography of connections: `ring`, and one curve more.

use std::sync::{Arc, LazyLock};

use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::SignatureVerificationAlgorithm;

use crate::p521_curve::{WITH_SHA256, WITH_SHA384, WITH_SHA512};

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let provider = ring::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    Arc::new(CryptoProvider {
        signature_verification_algorithms: with_p521(algorithms),
        ..provider
    })
});

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// In TLS 1.2 a scheme names the hash alone, and the curve is the certificate's.
fn with_p521(ring: WebPkiSupportedAlgorithms) -> WebPkiSupportedAlgorithms {
    let more = [WITH_SHA512, WITH_SHA384, WITH_SHA256];
    let all: Vec<Algorithm> = ring.all.iter().copied().chain(more).collect();
    let of_scheme = ring.mapping.iter().map(|(scheme, algorithms)| {
        let one = match scheme {
            SignatureScheme::ECDSA_NISTP256_SHA256 => Some(WITH_SHA256),
            SignatureScheme::ECDSA_NISTP384_SHA384 => Some(WITH_SHA384),
            _ => None,
        };
        let algorithms = algorithms.iter().copied().chain(one);
        (*scheme, leaked(algorithms.collect()))
    });
    let own = (
        SignatureScheme::ECDSA_NISTP521_SHA512,
        leaked(vec![WITH_SHA512]),
    );
    WebPkiSupportedAlgorithms {
        all: leaked(all),
        mapping: leaked(of_scheme.chain([own]).collect()),
    }
}

/// rustls wants tables that live for ever. They are made once.
fn leaked<T>(list: Vec<T>) -> &'static [T] {
    Vec::leak(list)
}
