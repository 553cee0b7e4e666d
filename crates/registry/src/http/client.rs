//! Clients of HTTP: whom they trust, and through which proxies they go.

use std::error::Error;
use std::io;
use std::path::Path;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, NoProxy, Proxy};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::error::{RegistryError, Result};
use crate::limits::CONNECT_LIMIT;
use crate::settings::Settings;

/// Never sent through a proxy, whatever the caller says: Go's `ProxyFromEnvironment` has the same
/// rule, so the engine behaves alike.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1";

/// A client that follows no redirect itself, so that credentials cannot travel with one. It trusts
/// the built-in authorities, the caller's and `private` (PEM); without `private`, for registries
/// that the caller listed as insecure, any server.
pub(crate) fn client(settings: &Settings, private: Option<&[Vec<u8>]>) -> Result<Client> {
    // Refused when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .pool_max_idle_per_host(settings.concurrency);
    for proxy in proxies(settings)? {
        builder = builder.proxy(proxy);
    }
    builder = match private {
        None => builder.tls_danger_accept_invalid_certs(true),
        Some(private) => {
            builder.tls_certs_only(authorities(settings, private).map_err(|error| {
                let reason = format!("expected PEM: {}", chain(&error));
                RegistryError::setting("a certificate authority", "a certificate file", &reason)
            })?)
        }
    };
    builder.build().map_err(|error| {
        let kind = "the settings of a TLS client";
        RegistryError::setting(kind, "certificates and proxies", &chain(&error))
    })
}

fn authorities(settings: &Settings, private: &[Vec<u8>]) -> reqwest::Result<Vec<Certificate>> {
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
    let of_machine = settings.certificates.iter().flat_map(|one| usable(one));
    let known = built_in.chain(of_machine);
    let mut all: Vec<_> = known
        .map(|der| Certificate::from_der(&der))
        .collect::<reqwest::Result<_>>()?;
    for bundle in private {
        all.extend(Certificate::from_pem_bundle(bundle)?);
    }
    Ok(all)
}

/// The authorities of a bundle. One that cannot be read takes no other along, as for Go
/// (`crypto/x509`, `AppendCertsFromPEM`): bundles hold a hundred of them, and we need one.
fn usable(bundle: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> + '_ {
    let read = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
    read.filter(|der| RootCertStore::empty().add(der.clone()).is_ok())
}

fn proxies(settings: &Settings) -> Result<Vec<Proxy>> {
    let given = &settings.proxies;
    let none = given.none.as_deref().unwrap_or_default();
    let direct = format!("{none},{NEVER_PROXIED}");
    let kinds: [(_, _, fn(_) -> _); 2] = [
        ("the HTTP proxy", &given.http, Proxy::http::<&str>),
        ("the HTTPS proxy", &given.https, Proxy::https::<&str>),
    ];
    let mut all = Vec::new();
    for (kind, url, proxy) in kinds {
        let Some(url) = url.as_deref().filter(|url| !url.is_empty()) else {
            continue;
        };
        // The URL itself may hold a password, so the message names only which one it is.
        let proxy =
            proxy(url).map_err(|error| RegistryError::setting(kind, "its URL", &chain(&error)))?;
        all.push(proxy.no_proxy(NoProxy::from_string(&direct)));
    }
    Ok(all)
}

/// The authorities in one host's folder of docker's layout, `*.crt`; none where there is no folder.
pub(crate) fn authorities_of(folder: &Path) -> Result<Vec<Vec<u8>>> {
    read_authorities(folder).map_err(|error| {
        let kind = "a folder of certificate authorities";
        RegistryError::setting(kind, &folder.display(), &error)
    })
}

fn read_authorities(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "crt") {
            all.push(std::fs::read(&path)?);
        }
    }
    Ok(all)
}

/// An error with its causes, which is where reqwest says what happened.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(text: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn an_authority_that_cannot_be_read_takes_no_other_along() {
        use base64::Engine as _;
        let root = &webpki_root_certs::TLS_SERVER_ROOT_CERTS[0];
        let good = pem(&base64::engine::general_purpose::STANDARD.encode(root));
        let (empty, broken) = (pem("AAAA"), pem("%%%"));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA";
        for (bundle, expected) in [
            (format!("{empty}# text\n{good}{cut}"), 1),
            (format!("{broken}{good}"), 1),
            (cut.to_owned(), 0),
            ("junk".to_owned(), 0),
        ] {
            assert_eq!(usable(bundle.as_bytes()).count(), expected, "{bundle}");
        }
    }
}
