//! What an engine holds under a tag, and letting go of a tag that has moved.
//!
//! An engine that remembers would use the image that a tag once named for ever: the classic builder
//! and `docker run` ask a registry only for what they lack, and so does `BuildKit` on the overlay2
//! store (moby `daemon/internal/builder-next/adapters/containerimage/pull.go`,
//! `ResolveImageConfig`: "default == prefer local").
//!
//! A moved tag is removed rather than pulled: that takes milliseconds and no credentials, whoever
//! uses the tag next pulls it with the credentials of its own, and nobody waits for an image that
//! this job does not use. Layers that both images share are not lost, because what was built on the
//! old image (images, build cache) holds them.

use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::query_parameters::RemoveImageOptionsBuilder;
use serde_json::json;

use crate::engine::Engine;
use crate::error::{EngineError, Result};

/// A tag may not exist: the engine's answer then.
const NOT_FOUND: u16 = 404;

/// An image that the engine holds under a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The digests under which it came from (or went to) the tag's own registry; none for an image
    /// that was only built or loaded here.
    pub digests: Vec<String>,
    /// When it was built, as its configuration says (RFC 3339).
    pub created: Option<String>,
    /// Its configuration in the form of the OCI image specification.
    pub config: serde_json::Value,
}

impl Engine {
    /// The image that `tag` names in the engine; `None` if it holds none.
    pub async fn held(&self, tag: &str, deadline: Duration) -> Result<Option<Held>> {
        let inspected = self.client(deadline)?.inspect_image(tag).await;
        let image = match inspected {
            Err(error) if is_not_found(&error) => return Ok(None),
            inspected => inspected.map_err(EngineError::api("looking at an image"))?,
        };
        let digests = image.repo_digests.unwrap_or_default();
        let digests = digests
            .iter()
            .filter_map(|digest| digest.rsplit_once('@'))
            .map(|(_, digest)| digest.to_owned());
        let layers = image.root_fs.and_then(|root| root.layers);
        Ok(Some(Held {
            digests: digests.collect(),
            created: image.created,
            config: json!({
                "os": image.os,
                "architecture": image.architecture,
                "variant": image.variant,
                "config": image.config,
                "rootfs": { "type": "layers", "diff_ids": layers.unwrap_or_default() },
            }),
        }))
    }

    /// Removes `tag`, and the image if nothing else names it; its parents stay. A tag that is gone
    /// already is no failure.
    pub async fn forget_tag(&self, tag: &str, deadline: Duration) -> Result<()> {
        let options = RemoveImageOptionsBuilder::new().noprune(true).build();
        let client = self.client(deadline)?;
        match client.remove_image(tag, Some(options), None).await {
            Err(error) if is_not_found(&error) => Ok(()),
            removed => removed
                .map(drop)
                .map_err(EngineError::api("removing a tag")),
        }
    }
}

fn is_not_found(error: &ApiError) -> bool {
    matches!(error, ApiError::DockerResponseServerError { status_code, .. } if *status_code == NOT_FOUND)
}
