//! What the environment says of docker: which engine, which builder.

use std::path::PathBuf;

use larder_archive::builder::BuildChoice;
use larder_docker::Environment;

use super::Choices;

impl Choices {
    /// The variables by which the docker command finds its engine.
    pub(super) fn docker(&self, search: Vec<PathBuf>) -> Environment {
        Environment {
            host: self.variable("DOCKER_HOST"),
            context: self.variable("DOCKER_CONTEXT"),
            config: self.docker_folder(),
            cert_path: self.variable("DOCKER_CERT_PATH").map(PathBuf::from),
            tls: self.variable("DOCKER_TLS").is_some(),
            tls_verify: self.variable("DOCKER_TLS_VERIFY").is_some(),
            api_version: self.variable("DOCKER_API_VERSION"),
            search,
        }
    }

    /// Where the docker command has its settings.
    pub(super) fn docker_folder(&self) -> Option<PathBuf> {
        let named = self.variable("DOCKER_CONFIG").map(PathBuf::from);
        named.or_else(|| Some(PathBuf::from(self.variable("HOME")?).join(".docker")))
    }

    /// The variables by which the docker command chooses a builder.
    pub(super) fn build_choice(&self) -> BuildChoice {
        BuildChoice {
            buildkit: self.variable("DOCKER_BUILDKIT"),
            builder: self.variable("BUILDX_BUILDER"),
            config: self.docker_folder(),
        }
    }
}
