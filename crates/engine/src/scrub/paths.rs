//! Listing and removing below an engine's root.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{EngineError, Result, if_there};

/// The names in a folder; none if it is not there.
pub(super) fn names_in(directory: &Path) -> Result<Vec<OsString>> {
    let entries = if_there(fs::read_dir(directory)).and_then(|entries| {
        let entries = entries.into_iter().flatten();
        entries.map(|entry| Ok(entry?.file_name())).collect()
    });
    entries.map_err(EngineError::io("cannot list", directory))
}

/// Removes what is at `relative` below `root`, and notes it; what is not there is not noted.
pub(super) fn remove(root: &Path, relative: &Path, removed: &mut Vec<PathBuf>) -> Result<()> {
    let path = root.join(relative);
    let outcome = match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
        Ok(_) => fs::remove_file(&path),
        Err(error) => Err(error),
    };
    let was_there = if_there(outcome).map_err(EngineError::io("cannot scrub", &path))?;
    removed.extend(was_there.map(|()| relative.to_owned()));
    Ok(())
}
