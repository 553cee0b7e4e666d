//! What the environment says of docker: which engine, which builder.

use std::path::PathBuf;

use larder_engine::api;

/// Which builder the environment asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildChoice {
    /// `DOCKER_BUILDKIT`.
    pub buildkit: Option<String>,
    /// `BUILDX_BUILDER`.
    pub builder: Option<String>,
}

/// The variables by which the docker command finds its engine.
pub fn docker_environment() -> api::Environment {
    let environment = super::environment();
    let text = |name: &str| environment.get(name).filter(|it| !it.is_empty()).cloned();
    let in_home = || Some(PathBuf::from(text("HOME")?).join(".docker"));
    api::Environment {
        host: text("DOCKER_HOST"),
        context: text("DOCKER_CONTEXT"),
        config: text("DOCKER_CONFIG").map(PathBuf::from).or_else(in_home),
        cert_path: text("DOCKER_CERT_PATH").map(PathBuf::from),
        tls: text("DOCKER_TLS").is_some(),
        tls_verify: text("DOCKER_TLS_VERIFY").is_some(),
        api_version: text("DOCKER_API_VERSION"),
        search: super::search_path(),
    }
}

/// The variables by which the docker command chooses a builder.
pub fn build_choice() -> BuildChoice {
    let environment = super::environment();
    BuildChoice {
        buildkit: environment.get("DOCKER_BUILDKIT").cloned(),
        builder: environment.get("BUILDX_BUILDER").cloned(),
    }
}
