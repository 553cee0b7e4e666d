//! One layer made twice: what `npm ci` writes, before and after a dependency was added.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use super::commands::Engine;
use crate::process;

/// A layer that was made again.
#[derive(Serialize)]
pub(super) struct Dependencies {
    /// Files in it.
    pub files: usize,
    /// Files that have the size and the modification time that they had.
    pub untouched: usize,
    /// The layer.
    pub bytes: u64,
    /// The layer through `gzip -6`.
    pub gzip_bytes: u64,
    /// What Larder stored for its image, after the image with the layer before.
    pub stored_bytes: u64,
}

/// The topmost layer of an image, in a folder of that name.
pub(super) fn top(engine: &Engine, image: &str, name: &str) -> Result<PathBuf> {
    let folder = engine.folder.join(name);
    fs::create_dir_all(&folder)?;
    engine.unpack(image, &folder)?;
    let manifest = folder.join("manifest.json");
    let text = fs::read(&manifest).with_context(|| format!("no {}", manifest.display()))?;
    let manifest: Value = serde_json::from_slice(&text)?;
    let layers = manifest[0]["Layers"].as_array();
    let layer = layers.and_then(|layers| layers.last()?.as_str());
    Ok(folder.join(layer.context("the image has no layer")?))
}

/// Says what differs between a layer and the same one made again.
pub(super) fn compare(before: &Path, after: &Path, stored_bytes: u64) -> Result<Dependencies> {
    let (old, new) = (files(before)?, files(after)?);
    let gzip = process::read(
        Command::new("sh")
            .args(["-c", "gzip -6 < \"$1\" | wc --bytes", "sh"])
            .arg(after),
    )?;
    Ok(Dependencies {
        files: new.len(),
        untouched: new.intersection(&old).count(),
        bytes: fs::metadata(after)?.len(),
        gzip_bytes: gzip.trim().parse().context("wc wrote no number")?,
        stored_bytes,
    })
}

/// The plain files of a tar: size, time and name.
fn files(tar: &Path) -> Result<HashSet<String>> {
    let mut command = Command::new("tar");
    command.args(["--list", "--verbose", "--full-time", "--file"]);
    let listed = process::read(command.arg(tar))?;
    let files = listed.lines().filter(|line| line.starts_with('-'));
    Ok(files.map(str::to_owned).collect())
}
