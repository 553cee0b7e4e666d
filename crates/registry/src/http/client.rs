//! Clients of HTTP: whom they trust, who we are to them, and through which proxies they go.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use larder_tls::Identity;
use larder_tls::proxy::Rules;
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy};

use crate::error::{RegistryError, Result};
use crate::limits::CONNECT_LIMIT;
use crate::settings::Settings;

/// What docker's folder of certificates for one host holds (moby `registry/registry.go`,
/// `ReadCertsDirectory`).
#[derive(Default)]
pub(crate) struct HostCertificates {
    /// `*.crt`, PEM.
    authorities: Vec<Vec<u8>>,
    /// `NAME.cert` with `NAME.key`.
    identities: Vec<Identity>,
}

impl HostCertificates {
    /// Those in a folder; none where there is no folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let listed = list(folder).map_err(|error| {
            let kind = "a folder of certificates";
            RegistryError::setting(kind, &folder.display(), &error)
        })?;
        let mut all = Self::default();
        for path in listed {
            let refused = |error: &dyn std::fmt::Display| {
                RegistryError::setting("a certificate", &path.display(), &error)
            };
            match path.extension().and_then(|end| end.to_str()) {
                Some("crt") => {
                    all.authorities
                        .push(std::fs::read(&path).map_err(|error| refused(&error))?);
                }
                Some("cert") => {
                    let certificate = std::fs::read(&path).map_err(|error| refused(&error))?;
                    let key = std::fs::read(path.with_extension("key"));
                    let key = key.map_err(|error| refused(&format!("its .key: {error}")))?;
                    let identity = Identity::from_pem(&certificate, &key);
                    all.identities
                        .push(identity.map_err(|error| refused(&error))?);
                }
                _ => {}
            }
        }
        Ok(all)
    }

    pub(crate) fn has_identities(&self) -> bool {
        !self.identities.is_empty()
    }

    pub(crate) fn without_identities(&self) -> Self {
        Self {
            authorities: self.authorities.clone(),
            identities: Vec::new(),
        }
    }

    /// Whether nothing is said of the host.
    pub(crate) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.identities.is_empty()
    }
}

/// The files of a folder, in the order of their names.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

/// A client that follows no redirect itself, so that credentials cannot travel with one. It trusts
/// the caller's authorities and the host's; `any_server`, for registries that the caller
/// listed as insecure, takes any.
pub(crate) fn client(
    settings: &Settings,
    host: &HostCertificates,
    any_server: bool,
) -> Result<Client> {
    let identities = host.identities.clone();
    let mut tls = if any_server {
        larder_tls::client_of_any_server(identities)
    } else {
        let authorities = settings.authorities.with(host.authorities.clone());
        larder_tls::lazy_client(authorities, identities)
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let rules = Rules::new(&settings.proxies);
    let rules = rules.map_err(|no| RegistryError::setting(no.of, "its URL", &no.why))?;
    let builder = Client::builder()
        .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .proxy(Proxy::custom(move |url| rules.proxy_for(url)))
        .connect_timeout(CONNECT_LIMIT)
        .pool_max_idle_per_host(settings.concurrency)
        .tls_backend_preconfigured(tls);
    builder.build().map_err(|error| {
        let kind = "the settings of a TLS client";
        RegistryError::setting(kind, "certificates and proxies", &chain(&error))
    })
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
