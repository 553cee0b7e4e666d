//! Images that the parent archive holds whole. They are taken over from it and not exported: exporting is most
//! of a save's time.

use larder_docker::streams::{Contents, SavedImage};
use larder_docker::{ApiError, Chains, Remote};

/// What is to be saved, as the parent archive sees it.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// What the engine must export: names and ids.
    pub(crate) export: Vec<String>,
    /// What the parent archive holds, with the names that were asked for.
    pub(crate) kept: Vec<SavedImage>,
}

/// Asks the engine which images are meant. `is_held` says whether the parent archive has a blob of
/// that name and size.
pub(crate) async fn split(
    engine: &Remote,
    chains: Chains,
    names: &[String],
    former: &Contents,
    is_held: impl Fn(&str, u64) -> bool,
) -> Result<Split, ApiError> {
    let mut split = Split::default();
    for name in names {
        let image = engine.inspect(name).await?;
        let id = image.map(|image| image.id).unwrap_or_default();
        match former
            .image(&id)
            .filter(|it| is_whole(it, former, &is_held))
        {
            Some(image) => split.keep(image, name),
            None => split.export.push(name.clone()),
        }
    }
    // An image's link to its parent is only exported along with that.
    if chains == Chains::Parents && !split.export.is_empty() {
        return Ok(Split {
            export: names.to_vec(),
            kept: Vec::new(),
        });
    }
    // The same images make the same contents, in whatever order they were named.
    split
        .kept
        .sort_by_key(|image| former.images.iter().position(|it| it.id == image.id));
    for image in &mut split.kept {
        let before = former.image(&image.id).map_or(&[][..], |it| &it.tags);
        let tags = &mut image.tags;
        tags.sort_by_key(|tag| before.iter().position(|it| it == tag));
    }
    Ok(split)
}

impl Split {
    fn keep(&mut self, image: &SavedImage, name: &str) {
        let at = self.kept.iter().position(|kept| kept.id == image.id);
        let at = at.unwrap_or_else(|| {
            self.kept.push(SavedImage {
                tags: Vec::new(),
                ..image.clone()
            });
            self.kept.len() - 1
        });
        let tags = &mut self.kept[at].tags;
        // An image that is saved by its id comes without names.
        if name != image.id && !tags.iter().any(|tag| tag == name) {
            tags.push(name.to_owned());
        }
    }
}

fn is_whole(image: &SavedImage, former: &Contents, is_held: impl Fn(&str, u64) -> bool) -> bool {
    image.blobs().all(|name| {
        let size = former.blobs.get(name);
        size.is_some_and(|size| is_held(name, *size))
    })
}
