//! Who we are and how we prove it to a registry.

mod authorizer;
mod challenge;
mod credential;
mod credentials;
mod docker_config;
mod helper;

pub(crate) use authorizer::{Authorizer, Party};
pub(crate) use challenge::{Challenge, choose};
pub use credential::Credential;
pub(crate) use credential::DOCKER_HUB_HOST;
pub use credentials::Credentials;
pub use docker_config::DockerConfig;
