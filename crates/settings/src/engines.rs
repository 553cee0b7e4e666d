//! Who lives on a volume, and what the environment says of docker: which engine, which builder.

use std::path::PathBuf;

use larder_archive::builder::BuildChoice;
use larder_docker::Environment;
use larder_engine::Asked;
use larder_local::users::User;
use larder_session::Tenant;

use super::args::How;
use super::{Choices, Done, Failure};

const PODMAN: &str = "podman";
const BUILDKIT: &str = "buildkit";
/// Whose podman it is if nobody is named.
const ROOT: &str = "root";

/// The tenant that podman is for a user of this name or number; for root, if it is nobody.
pub(super) fn podman(user: Option<&str>) -> Done<Tenant> {
    // A small machine may have no getent, and need none.
    let Some(name) = user.filter(|name| *name != ROOT) else {
        return Ok(Tenant::Podman);
    };
    let refused = |why: String| Failure::input(format!("--podman-user {name:?}: {why}"));
    let found = User::find(name).map_err(|error| refused(format!("getent: {error}")))?;
    let Some(found) = found else {
        return Err(refused("this machine has no such user".to_owned()));
    };
    Ok(match found.uid {
        0 => Tenant::Podman,
        uid => Tenant::UsersPodman(uid),
    })
}

impl Choices {
    /// Who lives on the volume, and how Docker's engine stands beside the machine's.
    pub(super) fn engine(&self, how: &How) -> Done<(Tenant, Asked)> {
        let named = self.text(&how.engine, "LARDER_ENGINE", &self.file.engine);
        Ok(match named.as_deref() {
            Some(name @ (PODMAN | BUILDKIT)) if how.kind.image_store.is_some() => {
                return Err(Failure::input(format!(
                    "--image-store is of Docker's engine; leave it out with --engine {name}"
                )));
            }
            Some(PODMAN) => (podman(self.podman_user(how).as_deref())?, Asked::Private),
            // It takes no engine's place.
            Some(BUILDKIT) => (Tenant::Builder, Asked::Private),
            Some(shape) => (Tenant::Engine, shape.parse()?),
            None => (Tenant::Engine, Asked::default()),
        })
    }

    /// Whose podman it is, by name or number: the one that is named, else who called sudo(8).
    pub(super) fn podman_user(&self, how: &How) -> Option<String> {
        let named = self.named_podman_user(how);
        named.or_else(|| Some(self.person()?.0.to_string()))
    }

    fn named_podman_user(&self, how: &How) -> Option<String> {
        self.text(
            &how.podman_user,
            "LARDER_PODMAN_USER",
            &self.file.podman_user,
        )
    }

    /// The options of a command that root runs: if nobody is named, podman is root's too.
    pub(super) fn for_root(&self, how: &How) -> How {
        let named = self.named_podman_user(how);
        How {
            podman_user: named.or_else(|| Some(ROOT.to_owned())),
            ..how.clone()
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_is_roots_or_a_users_of_this_machine() {
        let of = |user: Option<&str>| podman(user).map_err(|failure| failure.message);
        for root in [None, Some("root"), Some("0")] {
            assert_eq!(of(root), Ok(Tenant::Podman), "{root:?}");
        }
        // Debian's user for nobody's files has this number everywhere.
        assert_eq!(of(Some("nobody")), Ok(Tenant::UsersPodman(65534)));
        let refused = of(Some("no-such-user")).expect_err("nobody");
        assert!(
            refused.contains("--podman-user \"no-such-user\""),
            "{refused}"
        );
    }
}
