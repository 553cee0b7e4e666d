//! The cryptography of connections: `ring`, and what Go has beside it.

use std::sync::{Arc, LazyLock};

use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};

use crate::curves::{
    P256_WITH_SHA512, P384_WITH_SHA512, P521_WITH_SHA256, P521_WITH_SHA384, P521_WITH_SHA512,
};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let provider = ring::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    Arc::new(CryptoProvider {
        signature_verification_algorithms: with_more(algorithms),
        ..provider
    })
});

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// In TLS 1.2 a scheme names the hash alone, and the curve is the certificate's.
fn with_more(ring: WebPkiSupportedAlgorithms) -> WebPkiSupportedAlgorithms {
    let with_sha512 = [P521_WITH_SHA512, P384_WITH_SHA512, P256_WITH_SHA512];
    let more = [P521_WITH_SHA384, P521_WITH_SHA256];
    let all = ring.all.iter().copied().chain(with_sha512).chain(more);
    let of_scheme = ring.mapping.iter().map(|(scheme, algorithms)| {
        let one = match scheme {
            SignatureScheme::ECDSA_NISTP256_SHA256 => Some(P521_WITH_SHA256),
            SignatureScheme::ECDSA_NISTP384_SHA384 => Some(P521_WITH_SHA384),
            _ => None,
        };
        let algorithms = algorithms.iter().copied().chain(one);
        (*scheme, leaked(algorithms.collect()))
    });
    let own = (
        SignatureScheme::ECDSA_NISTP521_SHA512,
        leaked(with_sha512.to_vec()),
    );
    WebPkiSupportedAlgorithms {
        all: leaked(all.collect()),
        mapping: leaked(of_scheme.chain([own]).collect()),
    }
}

/// rustls wants tables that live for ever. They are made once.
fn leaked<T>(list: Vec<T>) -> &'static [T] {
    Vec::leak(list)
}
