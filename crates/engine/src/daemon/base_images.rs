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

use larder_docker::Image;

use super::engine::Engine;
use crate::error::Result;

impl Engine {
    /// The image that `tag` names in the engine; `None` if it holds none.
    pub async fn held(&self, tag: &str, deadline: Duration) -> Result<Option<Image>> {
        Ok(self.remote().within(deadline).inspect(tag).await?)
    }

    /// Removes `tag`, and the image if nothing else names it; its parents stay. A tag that is gone
    /// already is no failure.
    pub async fn forget_tag(&self, tag: &str, deadline: Duration) -> Result<()> {
        Ok(self.remote().within(deadline).remove(tag).await?)
    }
}
