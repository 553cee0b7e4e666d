//! Who we are and how we prove it to a registry.

mod authorizer;
mod challenge;
mod credentials;
mod docker_config;
mod helper;

pub(crate) use authorizer::{Authorizer, Party};
pub(crate) use challenge::{Challenge, choose};
pub(crate) use credentials::DOCKER_HUB_HOST;
pub use credentials::{Credential, Credentials};
pub use docker_config::DockerConfig;
