//! Who we are, for each registry: what the caller gave, then what the environment says, then docker's
//! configuration, then podman's, then nobody.

mod credential;
mod docker_config;
mod helper;
mod secret;

use std::collections::BTreeMap;

pub use credential::Credential;
pub(crate) use credential::{DOCKER_HUB_HOST, Found};
pub use docker_config::DockerConfig;
pub use secret::Secret;

/// Where credentials come from, in the order they are asked.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Given by the caller, by registry (`docker.io`, `registry.example:5000`).
    pub given: BTreeMap<String, Credential>,
    /// `DOCKER_AUTH_CONFIG`, of which docker reads `auths` alone (docker
    /// `cli/config/configfile/file.go`, `GetCredentialsStore`).
    pub environment: DockerConfig,
    /// Docker's `config.json`.
    pub docker: DockerConfig,
    /// Podman's `auth.json`, of the same form, in its order. Podman itself reads docker's after them (containers/image
    /// `pkg/docker/config/config.go`, `getAuthFilePaths`): where both know a registry they mostly say the same.
    pub podman: Vec<DockerConfig>,
}

impl Credentials {
    pub(crate) async fn find(&self, registry: &str) -> Found {
        if let Some(given) = self.given.get(registry) {
            return Ok(Some(given.clone()));
        }
        if let Some(found) = self.environment.filed(registry) {
            return found;
        }
        let mut told = Ok(None);
        for config in std::iter::once(&self.docker).chain(&self.podman) {
            match config.find(registry).await {
                Ok(Some(found)) => return Ok(Some(found)),
                // The first complaint is told if nobody knows better.
                nothing => told = told.and(nothing),
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(registry: &str, password: &str) -> DockerConfig {
        let text = format!(
            r#"{{"auths":{{"{registry}":{{"username":"u","password":"{password}"}}}},"credsStore":"absent"}}"#
        );
        DockerConfig::from_variable(&text).expect("valid")
    }

    #[tokio::test]
    async fn the_environment_comes_before_the_file() {
        let credentials = Credentials {
            environment: entry("r", "variable"),
            docker: entry("s", "file"),
            podman: vec![
                entry("s", "podman"),
                entry("p", "first"),
                entry("p", "second"),
            ],
            ..Credentials::default()
        };
        for (registry, expected) in [
            ("r", Some("variable")),
            ("s", Some("file")),
            ("p", Some("first")),
            ("t", None),
        ] {
            let found = credentials.find(registry).await;
            let expected = expected.map(|password| Credential::Password {
                user: "u".to_owned(),
                password: Secret::new(password),
            });
            assert_eq!(found.ok().flatten(), expected, "{registry}");
        }
    }
}
