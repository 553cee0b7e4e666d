//! The hosts that may answer for a registry, in the order they are asked.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Client, Url};

use super::client::{HostCertificates, client};
use super::range;
use crate::credentials::DOCKER_HUB_HOST;
use crate::error::{RegistryError, Result};
use crate::settings::Settings;

/// What a wrong address was meant to be.
const ADDRESS: &str = "a registry's address";

/// What a failure at this host means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Any failure: ask the next host (containerd `dockerResolver.Resolve`).
    Mirror,
    /// No connection: ask the next. An insecure registry is tried with TLS first, as docker does.
    Guess,
    /// The registry itself: try again, then fail.
    Last,
}

/// One host that may answer.
pub(crate) struct Endpoint {
    /// `https://host:port/`.
    pub(crate) base: Url,
    pub(crate) role: Role,
    pub(crate) client: Client,
    /// Follows redirects to other hosts, where a registry's insecurity does not reach.
    pub(crate) elsewhere: Client,
    /// The name under which credentials are filed.
    pub(crate) registry: String,
    /// For mirrors, the registry they stand in for: `?ns=` (containerd `request.addNamespace`).
    pub(crate) namespace: Option<String>,
    down: AtomicBool,
}

impl Endpoint {
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        url
    }

    /// Whether it failed so that it is of no use to ask it again in this process.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub(crate) fn mark_down(&self) {
        self.down.store(true, Ordering::Relaxed);
    }
}

/// The hosts for `registry`: its mirrors, then itself.
pub(crate) async fn endpoints(settings: &Settings, registry: &str) -> Result<Vec<Endpoint>> {
    let mut all = Vec::new();
    for mirror in settings.mirrors.get(registry).into_iter().flatten() {
        for mut endpoint in at(settings, mirror).await? {
            endpoint.role = Role::Mirror;
            endpoint.namespace = Some(registry.to_owned());
            all.push(endpoint);
        }
    }
    for mut endpoint in at(settings, own_host(registry)).await? {
        registry.clone_into(&mut endpoint.registry);
        all.push(endpoint);
    }
    Ok(all)
}

/// Where a registry itself is.
fn own_host(registry: &str) -> &str {
    if registry == "docker.io" {
        DOCKER_HUB_HOST
    } else {
        registry
    }
}

/// `host`, `host:port` or a URL without a path; more than one only for a host that is listed as
/// insecure, itself or by a range that one of its addresses is in.
async fn at(settings: &Settings, address: &str) -> Result<Vec<Endpoint>> {
    let (scheme, host) = match address.split_once("://") {
        Some((scheme, host)) => (Some(scheme), host.trim_end_matches('/')),
        None => (None, address),
    };
    if host.contains(['@', '/', '?', '#']) {
        let reason = "expected `host`, `host:port` or `https://host:port`, nothing after it";
        return Err(RegistryError::setting(ADDRESS, address, reason));
    }
    let private = match &settings.certificates_folder {
        Some(folder) => HostCertificates::read(&folder.join(host))?,
        None => HostCertificates::default(),
    };
    let is_insecure = settings.insecure.contains(host)
        || range::any_holds(&settings.insecure, name_of(host)).await;
    let schemes: &[&str] = match scheme {
        Some("https") => &["https"],
        Some("http") => &["http"],
        Some(_) => {
            let reason = "its scheme is neither https nor http";
            return Err(RegistryError::setting(ADDRESS, address, reason));
        }
        None if is_loopback(host) && private.is_empty() => &["http"],
        None if is_insecure => &["https", "http"],
        None => &["https"],
    };
    let at_home = client(settings, &private, is_insecure)?;
    // Who we are to this host is none of another's business.
    let elsewhere = if is_insecure || private.has_identities() {
        client(settings, &private.without_identities(), false)?
    } else {
        at_home.clone()
    };
    let mut all = Vec::new();
    for scheme in schemes {
        let base = Url::parse(&format!("{scheme}://{host}/"));
        all.push(Endpoint {
            base: base.map_err(|error| RegistryError::setting(ADDRESS, address, &error))?,
            role: Role::Guess,
            client: at_home.clone(),
            elsewhere: elsewhere.clone(),
            registry: host.to_owned(),
            namespace: None,
            down: AtomicBool::new(false),
        });
    }
    if let Some(last) = all.last_mut() {
        last.role = Role::Last;
    }
    Ok(all)
}

/// Hosts that are this machine: plain http, as in containerd's `MatchLocalhost`, by which
/// buildkitd goes too.
fn is_loopback(host: &str) -> bool {
    let name = name_of(host);
    let address = name.parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A host without its port and brackets.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn urls(settings: &Settings, registry: &str) -> Vec<String> {
        let all = endpoints(settings, registry).await;
        let all = all.expect("good settings");
        all.iter()
            .map(|e| format!("{} {:?} {}", e.url("/v2/"), e.role, e.registry))
            .collect()
    }

    #[tokio::test]
    async fn each_registry_has_its_hosts() {
        let settings = Settings {
            mirrors: [(
                "docker.io".to_owned(),
                vec!["m.example".to_owned(), "http://127.0.0.1:5".to_owned()],
            )]
            .into(),
            insecure: ["in.example:5000".to_owned()].into(),
            ..Settings::default()
        };
        assert_eq!(
            urls(&settings, "docker.io").await,
            [
                "https://m.example/v2/?ns=docker.io Mirror m.example",
                "http://127.0.0.1:5/v2/?ns=docker.io Mirror 127.0.0.1:5",
                "https://registry-1.docker.io/v2/ Last docker.io",
            ]
        );
        for (registry, expected) in [
            ("r.example", "https://r.example/v2/ Last r.example"),
            (
                "localhost:5000",
                "http://localhost:5000/v2/ Last localhost:5000",
            ),
            ("127.1.2.3", "http://127.1.2.3/v2/ Last 127.1.2.3"),
            ("[::1]:5000", "http://[::1]:5000/v2/ Last [::1]:5000"),
            ("10.0.0.1", "https://10.0.0.1/v2/ Last 10.0.0.1"),
        ] {
            assert_eq!(urls(&settings, registry).await, [expected]);
        }
        assert_eq!(
            urls(&settings, "in.example:5000").await,
            [
                "https://in.example:5000/v2/ Guess in.example:5000",
                "http://in.example:5000/v2/ Last in.example:5000",
            ]
        );
    }

    #[tokio::test]
    async fn an_address_with_more_than_a_host_is_refused() {
        for mirror in [
            "https://m.example/path",
            "ftp://m.example",
            "user@m.example",
            "m.example?x",
            "",
        ] {
            let mirrors = [("docker.io".to_owned(), vec![mirror.to_owned()])].into();
            let settings = Settings {
                mirrors,
                ..Settings::default()
            };
            let found = endpoints(&settings, "docker.io").await;
            assert!(found.is_err(), "{mirror}");
        }
    }
}
