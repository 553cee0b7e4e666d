//! Private folders, and files that are written whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown, lchown,
};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// Makes a directory that only its owner may read, and its missing parents. One that exists stays as it
/// is.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The same for what commands of root and of a user keep in that user's home: what root makes in a
/// directory of somebody else (sudo(8) with `-E` leaves `HOME` as it was) belongs to whom that belongs to.
pub fn make_folder_of_user(path: &Path, mode: u32) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    for made in missing.iter().rev() {
        let parent = made.parent().unwrap_or(Path::new("."));
        if let Some((user, group)) = other_owner(&fs::symlink_metadata(made)?, parent) {
            lchown(made, Some(user), Some(group))?;
        }
    }
    Ok(())
}

/// Who owns `folder`, if that is somebody else and root has made something in it.
fn other_owner(made: &Metadata, folder: &Path) -> Option<(u32, u32)> {
    let folder = fs::metadata(folder).ok()?;
    (made.uid() == 0 && folder.uid() != 0).then(|| (folder.uid(), folder.gid()))
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

/// A temporary file has a random name and mode 0600, and is removed if it is not persisted. In the directory
/// of a user it is that user's.
fn write_beside(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    let mut file = Builder::new().prefix(UNFINISHED).tempfile_in(parent)?;
    if let Some((user, group)) = other_owner(&file.as_file().metadata()?, parent) {
        fchown(file.as_file(), Some(user), Some(group))?;
    }
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

    #[test]
    fn what_root_makes_in_a_users_directory_is_the_users() {
        let home = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::chown(home.path(), Some(65_534), Some(65_533))
            .expect("the tests need root, which alone can give a directory away");
        let inner = home.path().join("cache/larder");
        make_folder_of_user(&inner, 0o700).expect("made");
        write_private(&inner.join("file"), b"").expect("written");
        write_public(&inner.join("report"), b"").expect("written");
        for made in [
            "cache",
            "cache/larder",
            "cache/larder/file",
            "cache/larder/report",
        ] {
            let meta = fs::metadata(home.path().join(made)).expect("made");
            assert_eq!((meta.uid(), meta.gid()), (65_534, 65_533), "{made}");
        }
        assert_eq!(mode(&inner), 0o700);
        make_private_folder(&inner.join("roots")).expect("made");
        let roots = fs::metadata(inner.join("roots")).expect("made");
        assert_eq!(roots.uid(), 0);
    }
}
