//! Who we are, for each registry: what the caller gave, then docker's configuration, then nobody.

use std::collections::BTreeMap;

use crate::auth::docker_config::DockerConfig;
use crate::secret::Secret;

/// The host that serves the registry named `docker.io` (containerd `DefaultHost`, docker
/// `registry/config.go`).
pub(crate) const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// The key under which `docker login` has always filed Docker Hub (docker `registry/config.go`,
/// `IndexServer`).
pub(crate) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// Proof of who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user name and a password or access token.
    Password {
        /// The user name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An identity token: a token server gives access tokens for it (OAuth 2 refresh token).
    IdentityToken(Secret),
    /// An access token that is sent to the registry as it is.
    RegistryToken(Secret),
}

/// Where credentials come from, in the order they are asked.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Given by the caller, by registry (`docker.io`, `registry.example:5000`).
    pub given: BTreeMap<String, Credential>,
    /// Docker's `config.json`.
    pub docker: DockerConfig,
}

/// The outcome of a look-up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) credential: Option<Credential>,
    /// What went wrong on the way, such as a credential helper that failed. Told only when the
    /// registry then denies access: an anonymous pull needs no helper.
    pub(crate) complaint: String,
}

impl Credentials {
    pub(crate) async fn find(&self, registry: &str) -> Found {
        match self.given.get(registry) {
            Some(given) => Found {
                credential: Some(given.clone()),
                ..Found::default()
            },
            None => self.docker.find(registry).await,
        }
    }
}
