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

/// An image that the engine holds under a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggedImage {
    /// The digests under which it came from (or went to) the tag's own registry; none for an image
    /// that was only built or loaded here.
    pub digests: Vec<String>,
    /// When it was built, as its configuration says (RFC 3339).
    pub created: Option<String>,
    /// Its configuration in the form of the OCI image specification.
    pub config: serde_json::Value,
}

impl From<Image> for TaggedImage {
    fn from(image: Image) -> Self {
        let digests = image.digests.iter();
        let digests = digests.filter_map(|digest| digest.rsplit_once('@'));
        Self {
            digests: digests.map(|(_, digest)| digest.to_owned()).collect(),
            created: image.created,
            config: image.configuration,
        }
    }
}

impl Engine {
    /// The image that `tag` names in the engine; `None` if it holds none.
    pub async fn held(&self, tag: &str, deadline: Duration) -> Result<Option<TaggedImage>> {
        let image = self.remote().within(deadline).inspect(tag).await?;
        Ok(image.map(TaggedImage::from))
    }

    /// Removes `tag`, and the image if nothing else names it; its parents stay. A tag that is gone
    /// already is no failure.
    pub async fn forget_tag(&self, tag: &str, deadline: Duration) -> Result<()> {
        Ok(self.remote().within(deadline).remove(tag).await?)
    }
}
