//! Reading the files that builds are described in, and naming them.

use std::path::{Path, PathBuf};

use super::fault::Fault;

/// A longer file is no Dockerfile.
pub const FILE_MAX_BYTES: u64 = 16 << 20;

/// Reads a file of at most [`FILE_MAX_BYTES`]; `shown` names it in faults.
pub fn read(path: &Path, shown: &Path) -> Result<Vec<u8>, Fault> {
    let failed = |error: std::io::Error| Fault::file(shown, format!("it cannot be read: {error}"));
    let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::file(shown, "there is no such file"),
        _ => failed(error),
    })?;
    if !meta.is_file() {
        let why = "it is not a file; what a pipe brings is read with `-f -`";
        return Err(Fault::file(shown, why));
    }
    if meta.len() > FILE_MAX_BYTES {
        let text = format!(
            "it has {} bytes; at most {FILE_MAX_BYTES} are read",
            meta.len()
        );
        return Err(Fault::file(shown, text));
    }
    std::fs::read(path).map_err(failed)
}

/// Without `.`; the names in reports are people's.
pub fn tidy(path: &Path) -> PathBuf {
    let parts = path.components();
    parts
        .filter(|part| !matches!(part, std::path::Component::CurDir))
        .collect()
}
