//! What a tenant holds under the names of base images, and letting go of a name that has moved.

use std::time::Duration;

use larder_docker::Image;
use larder_engine::{Engine, EngineError};
use larder_model::reference::ImageReference;
use larder_podman::Podman;

use crate::background::blocking;

/// The most time that is given for one image.
const LIMIT: Duration = Duration::from_secs(5);

/// Who holds images.
pub(in crate::background) enum Holder<'a> {
    Engine(&'a Engine),
    Podman(&'a Podman),
}

impl Holder<'_> {
    /// The image of that name, if there is one.
    pub(in crate::background) async fn held(
        &self,
        name: &ImageReference,
    ) -> Result<Option<Image>, EngineError> {
        match self {
            Self::Engine(engine) => engine.held(&name.familiar(), LIMIT).await,
            Self::Podman(podman) => {
                let (podman, name) = ((*podman).clone(), name.to_string());
                blocking(move || podman.image(&name, LIMIT)).await
            }
        }
    }

    /// Removes the name. What stands on its image stays.
    pub(in crate::background) async fn forget(
        &self,
        name: &ImageReference,
    ) -> Result<(), EngineError> {
        match self {
            Self::Engine(engine) => engine.forget_tag(&name.familiar(), LIMIT).await,
            Self::Podman(podman) => {
                let (podman, name) = ((*podman).clone(), name.to_string());
                blocking(move || podman.forget(&name, LIMIT)).await
            }
        }
    }
}
