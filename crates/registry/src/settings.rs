//! What the caller decides about registries: values only, since this crate reads no environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use larder_tls::LazyAuthorities;
use larder_tls::proxy::Proxies;

use crate::credentials::Credentials;

/// How registries are reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who we are, for each registry.
    pub credentials: Credentials,
    /// For a registry (`docker.io`), the hosts that are asked first, in order: `mirror.example`,
    /// `http://127.0.0.1:5000`.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries (`host` or `host:port`) that may be reached without a valid certificate or over
    /// plain HTTP, and ranges of addresses (`10.0.0.0/8`) of such. Loopback hosts need no mention.
    pub insecure: BTreeSet<String>,
    /// Proxies to reach registries through.
    pub proxies: Proxies,
    /// Whom connections trust, such as the machine's own authorities beside the built-in ones.
    pub authorities: LazyAuthorities,
    /// A folder laid out as docker's `/etc/docker/certs.d`: `<host>/*.crt` are authorities trusted
    /// for that registry, `<host>/NAME.cert` with `NAME.key` is who we are to it.
    pub certificates_folder: Option<PathBuf>,
    /// The most time that one call may take, whatever the registries do.
    pub deadline: Duration,
    /// The most time that one try of one request may take.
    pub try_limit: Duration,
    /// The most images resolved at once.
    pub concurrency: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credentials: Credentials::default(),
            mirrors: BTreeMap::new(),
            insecure: BTreeSet::new(),
            proxies: Proxies::default(),
            authorities: LazyAuthorities::default(),
            certificates_folder: None,
            deadline: Duration::from_secs(60),
            try_limit: Duration::from_secs(15),
            concurrency: 16,
        }
    }
}
