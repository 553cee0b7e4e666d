//! How registries are reached, by docker's settings of this machine and by ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_local::own::{NotOurs, OwnFolder};
use larder_registry::{Credentials, DockerConfig, Memory, Proxies, Registry, RegistryError};
use larder_tls::{Authorities, LazyAuthorities};
use serde::{Deserialize, Serialize};

/// Where docker keeps authorities for single registries.
const CERTIFICATES: &str = "/etc/docker/certs.d";
/// Where distributions keep the machine's certificate authorities, as Go's
/// `crypto/x509/root_linux.go` lists them: the first of the files that is there, and all folders.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
/// A longer file holds no certificate.
const CERTIFICATE_MAX_BYTES: u64 = 4 << 20;

/// How registries are reached, as values that another process can be given.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Registries {
    /// Docker's `config.json`, with its credentials and helpers.
    pub docker_config: PathBuf,
    /// `DOCKER_AUTH_CONFIG`, which holds credentials too.
    pub docker_auth: Option<String>,
    /// Podman's files of credentials, in their order.
    pub podman_auths: Vec<PathBuf>,
    /// Hosts to ask first, by registry.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries without a valid certificate.
    pub insecure: BTreeSet<String>,
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`. A URL may hold a password.
    pub proxies: [Option<String>; 3],
    /// A file of certificate authorities (`SSL_CERT_FILE`).
    pub authorities: Option<PathBuf>,
    /// Folders of such files (`SSL_CERT_DIR`).
    pub authorities_folders: Option<Vec<PathBuf>>,
    /// Folder of what registries said before.
    pub memory: OwnFolder,
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
        let opened = Memory::open(self.folder()?).inspect_err(|error| {
            let folder = self.memory.named().display();
            tracing::debug!(%error, %folder, "registries are asked without a memory");
        });
        opened.ok()
    }

    /// The memory's folder, made if need be. One that others can fill is not used: it would say what tags are.
    fn folder(&self) -> Option<&Path> {
        match self.memory.make() {
            Ok(folder) => Some(folder),
            Err(error @ NotOurs::Io { .. }) => {
                tracing::debug!(%error, "registries are asked without a memory");
                None
            }
            Err(error) => {
                tracing::warn!(
                    "what registries said before is not used, because others could have changed it: {error}; \
                     name another directory with --state or LARDER_STATE"
                );
                None
            }
        }
    }

    /// The memory's folder if it is there.
    pub(crate) fn existing_folder(&self) -> Option<&Path> {
        self.memory.existing().ok().flatten()
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
            authorities: self.authorities(&mut warnings),
            certificates_folder: Some(CERTIFICATES.into()),
            deadline,
            ..larder_registry::Settings::default()
        };
        (Registry::new(settings, memory), warnings)
    }

    /// Our credentials. A file that cannot be read is left out, as docker does: most images need none.
    fn credentials(&self, warnings: &mut Vec<String>) -> Credentials {
        // An empty variable is an empty configuration.
        let variable = self.docker_auth.as_deref().unwrap_or_default();
        let mut used = |read: Result<DockerConfig, RegistryError>| {
            read.unwrap_or_else(|error| {
                warnings.push(format!("{error}; its credentials are not used"));
                DockerConfig::default()
            })
        };
        let podman = self.podman_auths.iter();
        Credentials {
            given: BTreeMap::new(),
            environment: used(DockerConfig::from_variable(variable)),
            docker: used(DockerConfig::read(&self.docker_config)),
            podman: podman
                .map(|path| used(DockerConfig::read_podman(path)))
                .collect(),
        }
    }

    fn authorities(&self, warnings: &mut Vec<String>) -> LazyAuthorities {
        let mut bundles = BUNDLES.map(PathBuf::from).into_iter();
        let usual = bundles.find(|bundle| bundle.is_file());
        let read = self.authorities.clone().or(usual).and_then(|path| {
            let read = std::fs::read(&path).inspect_err(|error| {
                warnings.push(format!(
                    "cannot read the certificate authorities in {}: {error}",
                    path.display()
                ));
            });
            read.ok()
        });
        let folders = self.authorities_folders.clone();
        let folders = folders.unwrap_or_else(|| FOLDERS.map(PathBuf::from).to_vec());
        LazyAuthorities::new(move || {
            let files = folders.iter().flat_map(|folder| files_of(folder));
            let mut all = Authorities::built_in();
            for bundle in read.into_iter().chain(files) {
                all.add_pem(&bundle);
            }
            all
        })
    }
}

/// The files of a folder. What cannot be read is left out, as by Go (`loadSystemRoots`); so are the names
/// that `openssl` finds certificates by, which are links to others of the same folder
/// (`readUniqueDirectoryEntries`).
fn files_of(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let own = entries.map(|entry| entry.path()).filter(|path| {
        let target = std::fs::read_link(path);
        target.map_or(true, |target| target.components().count() > 1)
    });
    let small = own.filter(|path| {
        let meta = std::fs::metadata(path);
        meta.is_ok_and(|meta| meta.is_file() && meta.len() <= CERTIFICATE_MAX_BYTES)
    });
    small.filter_map(|path| std::fs::read(path).ok()).collect()
}
