//! A credential, and the names that Docker Hub has where credentials are looked up.

use super::secret::Secret;

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
    /// The same, of which a part is no text: base64 of `user:password`.
    Encoded(Secret),
    /// An identity token: a token server gives access tokens for it (OAuth 2 refresh token).
    IdentityToken(Secret),
    /// An access token that is sent to the registry as it is.
    RegistryToken(Secret),
}

/// The outcome of a look-up: a credential if there is one, or what went wrong, such as a helper that
/// failed. That is told only when the registry then denies access: an anonymous pull needs no helper.
pub(crate) type Found = Result<Option<Credential>, String>;
