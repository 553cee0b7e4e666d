//! How registries are reached, by docker's settings of this machine and by ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use larder_model::identity::InheritedConfig;
use larder_registry::{Credentials, DockerConfig, Memory, Proxies, Registry, RegistryError};
use serde::{Deserialize, Serialize};

/// Where docker keeps authorities for single registries.
const CERTIFICATES: &str = "/etc/docker/certs.d";
/// Where distributions keep the machine's certificate authorities: Debian, Fedora, Alpine, as
/// Go's `crypto/x509/root_linux.go` lists them.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// How registries are reached, as values that another process can be given.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Registries {
    /// Docker's `config.json`, with its credentials and helpers.
    pub docker_config: PathBuf,
    /// `DOCKER_AUTH_CONFIG`, which holds credentials too.
    pub docker_auth: Option<String>,
    /// Hosts to ask first, by registry.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries without a valid certificate.
    pub insecure: BTreeSet<String>,
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`. A URL may hold a password.
    pub proxies: [Option<String>; 3],
    /// A file of certificate authorities.
    pub authorities: Option<PathBuf>,
    /// Folder of what registries said before.
    pub memory: PathBuf,
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries")
            .field("mirrors", &self.mirrors)
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

impl Registries {
    /// What registries said before. Its folder is made if need be.
    pub fn memory(&self) -> Option<Memory> {
        let memory = Memory::open(&self.memory);
        if let Err(error) = &memory {
            let folder = self.memory.display();
            tracing::debug!(%error, %folder, "registries are asked without a memory");
        }
        memory.ok()
    }

    /// A client that ends each call within `deadline`; and a warning for each setting that cannot be used.
    pub fn client(&self, deadline: Duration, memory: Option<Memory>) -> (Registry, Vec<String>) {
        let mut warnings = Vec::new();
        let [http, https, none] = self.proxies.clone();
        let settings = larder_registry::Settings {
            credentials: self.credentials(&mut warnings),
            mirrors: self.mirrors.clone(),
            insecure: self.insecure.clone(),
            proxies: Proxies { http, https, none },
            certificates: self.certificates(&mut warnings),
            certificates_folder: Some(CERTIFICATES.into()),
            deadline,
            ..larder_registry::Settings::default()
        };
        (Registry::new(settings, memory), warnings)
    }

    /// Our credentials. A file that cannot be read is left out, as docker does: most images need none.
    fn credentials(&self, warnings: &mut Vec<String>) -> Credentials {
        let mut readable = |read: Result<DockerConfig, RegistryError>| {
            read.unwrap_or_else(|error| {
                warnings.push(format!("{error}; its credentials are not used"));
                DockerConfig::default()
            })
        };
        let variable = self.docker_auth.as_deref().map(DockerConfig::from_variable);
        Credentials {
            environment: readable(variable.unwrap_or_else(|| Ok(DockerConfig::default()))),
            docker: readable(DockerConfig::read(&self.docker_config)),
            ..Credentials::default()
        }
    }

    /// What an image's children inherit, if its configuration was fetched before.
    pub fn inherited(&self, config: &str) -> Option<InheritedConfig> {
        Memory::existing(&self.memory)?.inherited(&config.parse().ok()?)
    }

    fn certificates(&self, warnings: &mut Vec<String>) -> Vec<Vec<u8>> {
        let named = self.authorities.clone();
        let usual = || BUNDLES.map(PathBuf::from).into_iter().find(|f| f.is_file());
        let Some(path) = named.or_else(usual) else {
            return Vec::new();
        };
        match std::fs::read(&path) {
            Ok(pem) => vec![pem],
            Err(error) => {
                warnings.push(format!(
                    "cannot read the certificate authorities in {}: {error}",
                    path.display()
                ));
                Vec::new()
            }
        }
    }
}
