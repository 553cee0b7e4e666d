//! What the machines of a project remember together of images. See [`larder_model::images`].

use larder_model::address;
use larder_model::digest::ImagesId;
use larder_model::images::{self, RememberedImage};
use larder_model::limits::IMAGES_MAX_BYTES;

use larder_objects::{Objects, StoreError};

/// What was remembered last; nothing if nobody wrote any. It costs a listing and a read. A list that is
/// ahead of its time would hide all later ones, so it does not count.
pub async fn newest(
    objects: &Objects,
    project: &str,
    now_ms: u64,
) -> Result<Vec<RememberedImage>, StoreError> {
    let folder = address::images(project);
    let ahead = address::ahead(now_ms);
    let names = objects.first_names(&folder, &ahead, 1).await?;
    let first = names.first().and_then(|name| {
        let id = address::parse_images(name)?;
        Some((format!("{folder}/{name}"), id))
    });
    let Some((path, id)) = first else {
        return Ok(Vec::new());
    };
    let bytes = objects.get(&path, IMAGES_MAX_BYTES).await?;
    if ImagesId::of(&bytes) != id {
        return Err(StoreError::damaged(
            &path,
            "its content is not what its name says",
        ));
    }
    images::decode(&bytes).map_err(StoreError::format(&path))
}

/// Writes what is remembered from now on, the most wanted first.
pub async fn publish(
    objects: &Objects,
    project: &str,
    created_ms: u64,
    remembered: &[RememberedImage],
) -> Result<ImagesId, StoreError> {
    let (id, bytes) = images::encode(remembered);
    let path = address::images_object(project, created_ms, id);
    objects.put(&path, bytes).await?;
    Ok(id)
}
