//! Images by their ids and names, from the storage's own list: that takes no process.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use larder_docker::Image;
use larder_engine::EngineError;
use larder_engine::paths::{file, read};
use serde::Deserialize;

use crate::Result;
use crate::program::Podman;

/// Below the storage's root.
const LIST: &str = "overlay-images/images.json";
/// A longer list is none.
const LIST_MAX_BYTES: u64 = 64 << 20;

#[derive(Deserialize)]
struct Listed {
    id: String,
    names: Option<Vec<String>>,
}

impl Podman {
    /// The ids of the images that the storage holds.
    pub fn held(&self) -> Result<BTreeSet<String>> {
        Ok(self.list()?.into_iter().map(|image| image.id).collect())
    }

    /// The image of this full name; nothing if there is none.
    pub fn image(&self, name: &str, limit: Duration) -> Result<Option<Image>> {
        let list = self.list()?.into_iter();
        let mut names = list.flat_map(|image| image.names.unwrap_or_default());
        if !names.any(|held| held == name) {
            return Ok(None);
        }
        let text = self.ask(&["image", "inspect", name], limit)?;
        let images = Image::inspected(&text);
        let images = images.map_err(|error| self.malformed("an image", error.to_string()))?;
        Ok(images.into_iter().next())
    }

    /// Takes a name from its image, which stays for what stands on it.
    pub fn forget(&self, name: &str, limit: Duration) -> Result<()> {
        self.ask(&["untag", name, name], limit).map(drop)
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let Some(path) = file(self.storage.graph_root(), Path::new(LIST))? else {
            return Ok(Vec::new());
        };
        let text = read(&path, LIST_MAX_BYTES).map_err(EngineError::io("cannot read", &path))?;
        self.parsed("the list of images", &String::from_utf8_lossy(&text))
    }
}
