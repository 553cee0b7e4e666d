//! Connections as a client: whom they trust, who we are, and which go through a proxy.
//!
//! Docker, `BuildKit` and most tools around them trust by the rules of Go's `crypto/x509`. A server that
//! they reach should be reached from here too, so what `webpki` refuses and Go takes is taken:
//!
//! - a certificate that is itself among the authorities, as `openssl req -x509` makes it (`trust`);
//! - one that an authority signed and that says that it is an authority's, too (`issued`);
//! - a name such as `*.local`, for `registry.local`.
//!
//! So it is with proxies: [`proxy`].
//!
//! Nothing here opens a file or a connection, but what a function that was handed in does at the first handshake.

mod certificate;
mod identity;
mod issued;
mod provider;
pub mod proxy;
mod trust;

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;

pub use identity::Identity;
pub use trust::{Authorities, LazyAuthorities};

/// Files that make no configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate among what was given.
    #[error("it holds no certificate (PEM)")]
    NoCertificate,
    /// There is no private key.
    #[error("it holds no private key (PEM)")]
    NoKey,
    /// The key cannot be used.
    #[error("its key cannot be used: {0}")]
    Key(rustls::Error),
    /// Nobody is trusted.
    #[error("no certificate authority is trusted")]
    NoAuthority,
}

/// Connections to servers that these authorities vouch for, as one of these identities if a server asks.
pub fn client(
    authorities: Authorities,
    identities: Vec<Identity>,
) -> Result<ClientConfig, TlsError> {
    if authorities.is_empty() {
        return Err(TlsError::NoAuthority);
    }
    Ok(lazy_client(authorities.into(), identities))
}

/// The same, with authorities that are put together at the first handshake.
pub fn lazy_client(authorities: LazyAuthorities, identities: Vec<Identity>) -> ClientConfig {
    config(Arc::new(trust::LikeGo(authorities)), identities)
}

/// Connections to any server, for those who asked for it.
pub fn client_of_any_server(identities: Vec<Identity>) -> ClientConfig {
    config(Arc::new(trust::AnyServer), identities)
}

fn config(verifier: Arc<dyn ServerCertVerifier>, identities: Vec<Identity>) -> ClientConfig {
    ClientConfig::builder_with_provider(provider::provider())
        .with_safe_default_protocol_versions()
        .expect("AWS-LC has ciphers for both versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(identity::resolver(identities))
}
