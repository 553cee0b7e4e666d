//! Who we are, for each registry: what the caller gave, then docker's configuration, then nobody.

use std::collections::BTreeMap;

use crate::auth::credential::{Credential, Found};
use crate::auth::docker_config::DockerConfig;

/// Where credentials come from, in the order they are asked.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Given by the caller, by registry (`docker.io`, `registry.example:5000`).
    pub given: BTreeMap<String, Credential>,
    /// Docker's `config.json`.
    pub docker: DockerConfig,
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
