//! Listing, opening and removing below an engine's root, without leaving it: a volume was written by jobs
//! that were root in it, and a forged one by anybody. Nobody else uses the volume meanwhile, so what was
//! looked at stays as it is.

use std::ffi::OsString;
use std::fs::{self, File, ReadDir};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::{EngineError, Result, if_there};

/// The unit in which stat(2) counts, whatever the file system's.
const SECTOR_BYTES: u64 = 512;

/// The folder at `relative` below `root`; nothing if it is not there. It and all on the way must be folders:
/// a link could lead anywhere.
pub fn folder(root: &Path, relative: &Path) -> Result<Option<PathBuf>> {
    let mut path = root.to_owned();
    let mut parts = relative.components();
    loop {
        let meta = if_there(fs::symlink_metadata(&path));
        match meta.map_err(EngineError::io("cannot look at", &path))? {
            None => return Ok(None),
            Some(meta) if meta.is_dir() => {}
            Some(_) => return Err(EngineError::forged(&path, "is no folder")),
        }
        match parts.next() {
            None => return Ok(Some(path)),
            Some(part) => path.push(part),
        }
    }
}

/// The file at `relative` below `root`, likewise.
pub fn file(root: &Path, relative: &Path) -> Result<Option<PathBuf>> {
    let Some(folder) = folder(root, relative.parent().unwrap_or(Path::new("")))? else {
        return Ok(None);
    };
    let path = folder.join(relative.file_name().expect("a file has a name"));
    let meta = if_there(fs::symlink_metadata(&path));
    match meta.map_err(EngineError::io("cannot look at", &path))? {
        None => Ok(None),
        Some(meta) if meta.is_file() => Ok(Some(path)),
        Some(_) => Err(EngineError::forged(&path, "is no file")),
    }
}

/// What is in a folder; nothing if it is not there.
pub fn entries(root: &Path, relative: &Path) -> Result<Option<ReadDir>> {
    let Some(path) = folder(root, relative)? else {
        return Ok(None);
    };
    let entries = fs::read_dir(&path).map_err(EngineError::io("cannot list", &path));
    entries.map(Some)
}

/// The names in a folder; none if it is not there.
pub fn names_in(root: &Path, relative: &Path) -> Result<Vec<OsString>> {
    let entries = entries(root, relative)?.into_iter().flatten();
    let names = entries.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<std::io::Result<_>>();
    names.map_err(EngineError::io("cannot list", &root.join(relative)))
}

/// Reads a file of at most `max` bytes.
pub fn read(path: &Path, max: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(std::io::Error::other(format!(
            "it has more than {max} bytes"
        )));
    }
    Ok(bytes)
}

/// What a path takes on its disk, with all that is below it. What goes meanwhile takes nothing.
pub fn bytes_in(path: &Path) -> Result<u64> {
    let failed = || EngineError::io("cannot look at", path);
    let Some(meta) = if_there(fs::symlink_metadata(path)).map_err(failed())? else {
        return Ok(0);
    };
    let mut bytes = meta.blocks() * SECTOR_BYTES;
    if meta.is_dir() {
        let entries = if_there(fs::read_dir(path)).map_err(failed())?;
        for entry in entries.into_iter().flatten() {
            bytes += bytes_in(&entry.map_err(failed())?.path())?;
        }
    }
    Ok(bytes)
}

/// Removes what is at `relative` below `root`, and notes it; what is not there is not noted. A link is
/// removed itself.
pub fn remove(root: &Path, relative: &Path, removed: &mut Vec<PathBuf>) -> Result<()> {
    let parent = relative.parent().unwrap_or(Path::new(""));
    if folder(root, parent)?.is_none() {
        return Ok(());
    }
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
