//! The variables that the docker command goes by.

use std::path::PathBuf;

/// The variables that go with another engine's `DOCKER_HOST`: the certificates are read before anybody looks
/// whether the address needs them (docker/cli `cli/command/cli.go`, `resolveDefaultDockerEndpoint`), and other
/// clients go by the context first. All of them count as not set when they are empty.
pub const OF_ANOTHER_ENGINE: [&str; 4] = [
    "DOCKER_CERT_PATH",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
];

/// What the environment says of the engine. Given by the caller: nothing here reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// `DOCKER_CONFIG`, or `.docker` in the home folder. Without it there are no contexts.
    pub config: Option<PathBuf>,
    /// `DOCKER_CERT_PATH`; else certificates are in the configuration's folder.
    pub cert_path: Option<PathBuf>,
    /// Whether `DOCKER_TLS` is set and not empty: TLS that trusts any server.
    pub tls: bool,
    /// The same of `DOCKER_TLS_VERIFY`: TLS with a server that `ca.pem` vouches for.
    pub tls_verify: bool,
    /// `DOCKER_API_VERSION`: no newer version is spoken.
    pub api_version: Option<String>,
    /// Where the programs are (`PATH`), for `ssh`.
    pub search: Vec<PathBuf>,
}

/// A variable that is set to nothing counts as not set.
pub(super) fn filled(value: Option<&String>) -> Option<String> {
    value.filter(|value| !value.is_empty()).cloned()
}
