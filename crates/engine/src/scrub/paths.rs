//! Listing and removing below an engine's root.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{EngineError, Result};

/// The names in a folder; none if it is not there.
pub(super) fn names_in(directory: &Path) -> Result<Vec<OsString>> {
    let failed = || EngineError::io("cannot list", directory);
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()
            .map_err(failed()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed()(error)),
    }
}

/// Removes what is at `relative` below `root`, and notes it; what is not there is not noted.
pub(super) fn remove(root: &Path, relative: &Path, removed: &mut Vec<PathBuf>) -> Result<()> {
    let path = root.join(relative);
    let outcome = match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
        Ok(_) => fs::remove_file(&path),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => removed.push(relative.to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(EngineError::io("cannot scrub", &path)(error)),
    }
    Ok(())
}
