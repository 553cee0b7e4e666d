//! Private folders, and files that are written whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// Makes a directory that only its owner may read, and its missing parents. One that exists stays as it
/// is.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that only its owner may read, whole or not at all: a reader, and the next process
/// after a kill, find the old content or the new one. A link at `path` is replaced, not followed.
///
/// Not synced: after a crash of the *machine* the file may be empty, and its reader must bear that.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    write_beside(path, content)?.persist(path)?;
    Ok(())
}

/// The same for a file that other users may read. If `path` is not a file (but a pipe, a link,
/// `/dev/stdout`), it is written to and stays what it is.
pub fn write_public(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return fs::write(path, content);
    }
    let file = write_beside(path, content)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

/// How the names of temporary files begin.
const UNFINISHED: &str = ".larder-";

/// Whether this is the name of a file that was being written. One stays if its writer is killed.
pub fn is_unfinished(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(UNFINISHED)
}

/// A temporary file has a random name and mode 0600, and is removed if it is not persisted.
fn write_beside(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let mut file = Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(parent.unwrap_or(Path::new(".")))?;
    file.write_all(content)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    }

    #[test]
    fn private_files_are_replaced_whole_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let [own, others] = ["own", "others"].map(|name| folder.path().join(name));
        fs::write(&others, "theirs").expect("written");
        std::os::unix::fs::symlink(&others, &own).expect("linked");
        write_private(&own, b"ours").expect("written");
        assert_eq!(fs::read(&own).expect("read"), b"ours");
        assert_eq!(fs::read(&others).expect("read"), b"theirs");
        assert_eq!(mode(&own), 0o600);
        let left = fs::read_dir(folder.path()).expect("listed").count();
        assert_eq!(left, 2, "no temporary file is left");
    }

    #[test]
    fn public_files_are_readable_and_what_is_no_file_is_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        write_public(&file, b"first").expect("written");
        assert_eq!(mode(&file), 0o644);
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        write_public(&link, b"second").expect("written");
        assert_eq!(fs::read(&file).expect("read"), b"second");
        assert!(link.is_symlink());
    }

    #[test]
    fn private_folders_are_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("a/b");
        make_private_folder(&inner).expect("made");
        assert_eq!([mode(&inner), mode(&folder.path().join("a"))], [0o700; 2]);
        make_private_folder(&inner).expect("it may be there");
    }
}
