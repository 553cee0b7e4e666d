//! What the environment says of docker: which engine, which builder.

use std::path::PathBuf;

use larder_archive::builder::BuildChoice;
use larder_docker as api;

use super::Environment;

/// The variables by which the docker command finds its engine.
pub(super) fn environment(environment: &Environment, search: Vec<PathBuf>) -> api::Environment {
    let text = |name: &str| environment.get(name).filter(|it| !it.is_empty()).cloned();
    let config = text("DOCKER_CONFIG").map(PathBuf::from);
    api::Environment {
        host: text("DOCKER_HOST"),
        context: text("DOCKER_CONTEXT"),
        config: config.or_else(|| Some(PathBuf::from(text("HOME")?).join(".docker"))),
        cert_path: text("DOCKER_CERT_PATH").map(PathBuf::from),
        tls: text("DOCKER_TLS").is_some(),
        tls_verify: text("DOCKER_TLS_VERIFY").is_some(),
        api_version: text("DOCKER_API_VERSION"),
        search,
    }
}

/// The variables by which the docker command chooses a builder.
pub(super) fn build_choice(environment: &Environment) -> BuildChoice {
    BuildChoice {
        buildkit: environment.get("DOCKER_BUILDKIT").cloned(),
        builder: environment.get("BUILDX_BUILDER").cloned(),
    }
}
